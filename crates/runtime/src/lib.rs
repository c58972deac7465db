//! The engine: ready queue, timers, inbox and the turn of an asyncio-like event loop.
