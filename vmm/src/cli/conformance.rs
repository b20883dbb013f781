//! `vmm conformance`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::builder::PossibleValuesParser;
use guest_payload::conformance::Case;

use super::{Exit, Failure};
use crate::conformance::report::Verdict;
use crate::conformance::{self, Selection};
use crate::host;
use crate::machine::events;
use crate::os::limits;
use crate::report::output::{self, Target};
use crate::report::progress::Progress;
use crate::spec::Choice;

/// Arguments of `vmm conformance`.
#[derive(Debug, ClapArgs)]
pub struct ConformanceArgs {
    /// Only with this taker of the kick; auto is all
    #[arg(long, value_enum, default_value = "auto")]
    kick: Choice,

    /// Only with halted vCPUs waiting here; auto is both
    #[arg(long, value_enum, default_value = "auto")]
    halt: Choice,

    /// Only this case; can be given more than once
    #[arg(long = "case", value_name = "NAME",
          value_parser = PossibleValuesParser::new(Case::ALL.iter().map(|case| case.name())))]
    cases: Vec<String>,

    /// Write the findings as JSON to a file, or to standard output for -
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

/// Runs the cases and reports.
///
/// # Errors
/// [`Failure`] with exit code 2 or 3.
pub fn run(args: &ConformanceArgs) -> Result<Exit, Failure> {
    let json = args
        .json
        .as_deref()
        .map(Target::prepare)
        .transpose()
        .map_err(Failure::usage)?;
    let selection = Selection {
        kick: args.kick,
        halt: args.halt,
        cases: args
            .cases
            .iter()
            .filter_map(|name| Case::from_name(name))
            .collect(),
    };
    let signals = events::signals().map_err(Failure::host)?;
    let kvm = host::open_kvm().map_err(Failure::host)?;
    limits::raise_open_files();
    let mut progress = Progress::start(None);
    let report = conformance::run(&kvm, &selection, &signals, &mut progress);
    progress.finish();
    let report = report.map_err(Failure::host)?;
    if matches!(json, Some(Target::Stdout)) {
        output::print_aside(report.table().as_bytes());
    } else {
        output::print(report.table().as_bytes()).map_err(Failure::host)?;
    }
    if let Some(json) = json {
        json.write(&report).map_err(Failure::host)?;
    }
    Ok(
        if report.count(Verdict::Fail) > 0 || report.is_interrupted() {
            Exit::CheckFailed
        } else if report.count(Verdict::Pass) == 0 {
            Exit::Host
        } else {
            Exit::Done
        },
    )
}
