//! The `hookgate` binary: hands the command line to [`hookgate::cli`] and its verdict to the shell.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookgate::cli::main()
}
