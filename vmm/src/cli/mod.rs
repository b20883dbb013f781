//! The command line: one file a command.

pub mod api;
pub mod conformance;
mod debugger;
pub mod doctor;
pub mod experiment;
mod here;
pub mod inspect;
mod lab;
pub mod migrate;
pub mod pause;
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
    /// Move a machine that checks itself from process to process, thousands of times.
    Soak(Box<soak::SoakArgs>),
    /// Measure every combination of some options and arguments, again and again.
    Experiment(experiment::ExperimentArgs),
    /// Tell what this host's KVM can do, every line found by trying.
    Doctor(doctor::DoctorArgs),
    /// Tell how a running machine is.
    Status(status::StatusArgs),
    /// Show what a running machine's vCPUs do.
    Stats(stats::StatsArgs),
    /// Pause a running machine.
    Pause(pause::PauseArgs),
    /// Let a paused machine go on.
    Resume(resume::ResumeArgs),
    /// Save a running machine to a file.
    Snapshot(snapshot::SnapshotArgs),
    /// Make a page of what an experiment has found.
    Report(report::ReportArgs),
    /// Tell what is in a snapshot.
    Inspect(inspect::InspectArgs),
    /// Go on with a machine from a snapshot.
    Restore(restore::RestoreArgs),
    /// Wait for a machine that another vmm migrates here, and run it.
    Receive(receive::ReceiveArgs),
    /// Move a running machine to a vmm that receives it.
    Migrate(migrate::MigrateArgs),
    /// End a running machine.
    Stop(stop::StopArgs),
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
    match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Report(args) => report::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Receive(args) => receive::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Experiment(args) => experiment::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Pause(args) => pause::run(&args),
        Command::Resume(args) => resume::run(&args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Migrate(args) => migrate::run(&args),
        Command::Stop(args) => stop::run(&args),
    }
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
