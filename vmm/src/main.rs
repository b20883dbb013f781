//! Parses the command line, runs the command, prints the error chain, returns the exit code.

use std::process::ExitCode;

use clap::Parser;
use vmm::cli::{self, Cli};
use vmm::report::output;

fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => cli::run(cli),
        Err(error) => cli::usage::answer(&error),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::print_aside(format!("vmm: {:#}\n", failure.error).as_bytes());
            failure.exit.into()
        }
    }
}
