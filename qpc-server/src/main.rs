//! The `qpc-server` program.

fn main() {}
