//! The commands, as one table: a name, what it does, its options, who runs it.
//!
//! clap's derive makes the options of every command at each start, though one command is asked for:
//! 70 page faults more, beside 190 of a whole run of a guest that ends at once. So a command's options
//! are made when it is the one.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Error, FromArgMatches, Subcommand};

use super::{
    Exit, Failure, completions, conformance, doctor, experiment, inspect, man, migrate, pause,
    payload, receive, report, restore, resume, run, snapshot, soak, stats, status, stop,
};

macro_rules! commands {
    ($($name:literal, $about:literal, $variant:ident: $module:ident($args:ty);)+) => {
        /// What was asked for.
        #[derive(Debug)]
        pub(super) enum Command {
            $(#[doc = $about] $variant(Box<$args>),)+
        }

        impl Command {
            pub(super) fn run(self) -> Result<Exit, Failure> {
                match self {
                    $(Self::$variant(args) => $module::run(&args),)+
                }
            }
        }

        const ROWS: &[Row] = &[$(Row {
            name: $name,
            about: $about,
            add_options: with_options::<$args>,
            read: |matches| {
                let args = FromArgMatches::from_arg_matches_mut(matches)?;
                Ok(Command::$variant(Box::new(args)))
            },
        },)+];
    };
}

commands! {
    "run", "Run a guest, by default the bundled lock stress test, and report",
        Run: run(run::RunArgs);
    "conformance", "Run the cases of the kick hypercall against every --kick and --halt of this host",
        Conformance: conformance(conformance::ConformanceArgs);
    "soak", "Move a machine that checks itself from process to process, thousands of times",
        Soak: soak(soak::SoakArgs);
    "experiment", "Measure every combination of some options and arguments, again and again",
        Experiment: experiment(experiment::ExperimentArgs);
    "doctor", "Tell what this host's KVM can do, every line found by trying",
        Doctor: doctor(doctor::DoctorArgs);
    "status", "Tell how a running machine is",
        Status: status(status::StatusArgs);
    "stats", "Show what a running machine's vCPUs do",
        Stats: stats(stats::StatsArgs);
    "pause", "Pause a running machine",
        Pause: pause(pause::PauseArgs);
    "resume", "Let a paused machine go on",
        Resume: resume(resume::ResumeArgs);
    "snapshot", "Save a running machine to a file",
        Snapshot: snapshot(snapshot::SnapshotArgs);
    "report", "Make a page of what an experiment has found",
        Report: report(report::ReportArgs);
    "inspect", "Tell what is in a snapshot",
        Inspect: inspect(inspect::InspectArgs);
    "restore", "Go on with a machine from a snapshot",
        Restore: restore(restore::RestoreArgs);
    "receive", "Wait for a machine that another vmm migrates here, and run it",
        Receive: receive(receive::ReceiveArgs);
    "migrate", "Move a running machine to a vmm that receives it",
        Migrate: migrate(migrate::MigrateArgs);
    "stop", "End a running machine",
        Stop: stop(stop::StopArgs);
    "payload", "Write the bundled guest to a file, for other VMMs",
        Payload: payload(payload::PayloadArgs);
    "completions", "Print what a shell needs to complete command lines",
        Completions: completions(completions::CompletionsArgs);
    "man", "Write the manual pages",
        Man: man(man::ManArgs);
}

struct Row {
    name: &'static str,
    about: &'static str,
    add_options: fn(clap::Command) -> clap::Command,
    read: fn(&mut ArgMatches) -> Result<Command, Error>,
}

impl Row {
    fn named(&self) -> clap::Command {
        clap::Command::new(self.name).about(self.about)
    }
}

/// `command` with its options. What their type says of itself is for those who read the code.
fn with_options<T: Args>(command: clap::Command) -> clap::Command {
    let about = command.get_about().cloned().unwrap_or_default();
    T::augment_args(command)
        .about(about)
        .long_about(None::<&str>)
}

/// Every command with its options, for those who describe the command line.
pub fn described() -> impl Iterator<Item = clap::Command> {
    let rows = ROWS.iter();
    rows.map(|row| (row.add_options)(row.named()))
}

/// `vmm run` with its options.
pub fn described_run() -> clap::Command {
    with_options::<run::RunArgs>(clap::Command::new("run"))
}

impl Subcommand for Command {
    fn augment_subcommands(cli: clap::Command) -> clap::Command {
        ROWS.iter().fold(cli, |cli, row| {
            cli.subcommand(row.named().defer(row.add_options))
        })
    }

    fn augment_subcommands_for_update(cli: clap::Command) -> clap::Command {
        Self::augment_subcommands(cli)
    }

    fn has_subcommand(name: &str) -> bool {
        ROWS.iter().any(|row| row.name == name)
    }
}

impl FromArgMatches for Command {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        let asked = matches.remove_subcommand();
        let (name, mut matches) = asked.ok_or_else(|| Error::new(ErrorKind::MissingSubcommand))?;
        let row = ROWS.iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| Error::new(ErrorKind::InvalidSubcommand))?;
        (row.read)(&mut matches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::cli::Cli;

    #[test]
    fn the_command_line_is_one_that_clap_takes() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_is_described_as_it_is_parsed() {
        let mut cli = Cli::command();
        cli.build();
        for command in super::described() {
            let parsed = cli.find_subcommand(command.get_name()).unwrap();
            assert_eq!(parsed.get_about(), command.get_about());
            assert_eq!(parsed.get_long_about(), None, "{}", command.get_name());
            let names = |command: &clap::Command| -> Vec<String> {
                let all = command
                    .get_arguments()
                    .map(|option| option.get_id().to_string());
                all.filter(|id| id != "help" && id != "version").collect()
            };
            assert_eq!(names(parsed), names(&command), "{}", command.get_name());
        }
    }
}
