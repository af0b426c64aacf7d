//! The `sae` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    sae_harness::cli::run(std::env::args_os())
}
