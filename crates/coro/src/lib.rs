//! Generators and coroutines with Python's protocol, on stable Rust.
