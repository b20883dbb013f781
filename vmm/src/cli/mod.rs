//! The command line: one file a command.

pub mod conformance;
pub mod doctor;
pub mod run;
pub mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The host side of paravirtual spinlocks: a KVM hypervisor that takes the kick.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a guest, by default the bundled lock stress test, and report.
    Run(Box<run::RunArgs>),
    /// Run the cases of the kick hypercall against every --kick and --halt of this host.
    Conformance(conformance::ConformanceArgs),
    /// Tell what this host's KVM can do, every line found by trying.
    Doctor(doctor::DoctorArgs),
}

/// How a command ended, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, and every check held.
    Done = 0,
    /// A check failed.
    CheckFailed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The host cannot do it.
    Host = 3,
    /// The guest crashed.
    GuestCrashed = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
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
    match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }
}
