//! The `qpc-client` program.

fn main() {}
