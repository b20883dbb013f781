//! The command line: one file a command.

pub mod api;
mod command;
pub mod completions;
pub mod conformance;
mod debugger;
pub mod doctor;
pub mod experiment;
mod here;
pub mod inspect;
mod lab;
pub mod man;
pub mod migrate;
pub mod pause;
pub mod payload;
mod peer;
pub mod receive;
pub mod report;
pub mod restore;
pub mod resume;
pub mod run;
mod session;
pub mod snapshot;
pub mod soak;
pub mod stats;
pub mod status;
pub mod stop;
pub mod usage;

use std::process::ExitCode;

use clap::Parser;

use command::Command;
pub use command::{described, described_run};

/// The program's name, as its users start it.
const PROGRAM: &str = env!("CARGO_PKG_NAME");
/// What `--version` says: the revision as well.
const LONG_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("VMM_REVISION"), ")");

/// The host side of paravirtual spinlocks: a KVM hypervisor that takes the kick.
#[derive(Debug, Parser)]
#[command(version, long_version = LONG_VERSION, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// How a command ended, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and every check held: 0.
    Done,
    /// A check failed: 1.
    CheckFailed,
    /// The command line is wrong: 2.
    Usage,
    /// The host cannot do it: 3.
    Host,
    /// The guest crashed: 4.
    GuestCrashed,
    /// The guest wrote this to the debug-exit port: `(value << 1) | 1`, of which a process can
    /// give 8 bits.
    DebugExit(u32),
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => 0,
            Exit::CheckFailed => 1,
            Exit::Usage => 2,
            Exit::Host => 3,
            Exit::GuestCrashed => 4,
            Exit::DebugExit(value) => ((value << 1) | 1).to_le_bytes()[0],
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(u8::from(exit))
    }
}

/// A failure with the exit code it deserves.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What happened, and why.
    pub error: anyhow::Error,
}

impl Failure {
    /// A wrong command line.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Usage,
            error: error.into(),
        }
    }

    /// A host that cannot do it.
    pub fn host(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Host,
            error: error.into(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`], for one line on standard error.
pub fn run(cli: Cli) -> Result<Exit, Failure> {
    cli.command.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_exit_code_is_odd_and_has_8_bits() {
        for (value, code) in [(0, 1), (1, 3), (0x10, 0x21), (0x80, 1), (u32::MAX, 0xff)] {
            assert_eq!(u8::from(Exit::DebugExit(value)), code, "{value:#x}");
        }
    }
}
