"""asyncio's machinery in Rust."""
