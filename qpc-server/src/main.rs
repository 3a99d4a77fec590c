//! The `qpc-server` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    qpc_server::cli::main()
}
