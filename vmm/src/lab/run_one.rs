//! One run of an experiment, from its command line to its record.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::cells::Cells;
use super::child::{self, Outcome};
use super::metrics;
use super::plan::Run;
use super::provenance::Surroundings;
use super::record::{Record, RunEnding, SCHEMA};
use crate::report::run::EndedBy;

/// A run ends itself at its time limit; one that has not done so by then never will.
const GRACE: Duration = Duration::from_secs(30);
/// Longest sentence of a run that is kept.
const WHY_MOST: usize = 500;

/// What became of a run.
#[derive(Debug)]
pub(super) enum Done {
    /// It is over, well or not.
    Recorded(Box<Record>),
    /// The user wants no more: as if it had never begun.
    Interrupted,
}

/// Does `run`. `interrupt` is readable when the user wants no more; `tick` is called now and then.
///
/// # Errors
/// This program cannot be started once more.
pub(super) fn run(
    cells: &Cells,
    run: Run,
    surroundings: &Surroundings,
    interrupt: BorrowedFd<'_>,
    tick: impl FnMut(),
) -> io::Result<Done> {
    let words = cells.command_line(run.cell, run.seed);
    let limit = cells.timeout(run.cell) + GRACE;
    let provenance = surroundings.now();
    let started = SystemTime::now().duration_since(UNIX_EPOCH);
    let (ending, metrics) = match child::run(&words, limit, interrupt, tick)? {
        Outcome::Interrupted => return Ok(Done::Interrupted),
        Outcome::TooLong => (
            failed("did not end in time and was killed"),
            BTreeMap::new(),
        ),
        Outcome::Ended {
            status,
            stdout,
            stderr,
        } => match serde_json::from_slice::<Value>(&stdout) {
            Ok(report) if was_interrupted(&report) => return Ok(Done::Interrupted),
            Ok(report) => reported(&report),
            Err(_) if was_asked_to_end(status) => return Ok(Done::Interrupted),
            Err(_) => (failed(&last_words(&stderr, status)), BTreeMap::new()),
        },
    };
    let started = started.map_or(0, |since| since.as_millis());
    Ok(Done::Recorded(Box::new(Record {
        schema: SCHEMA.to_owned(),
        experiment: cells.spec().name.clone(),
        spec: cells.spec().digest(),
        run: run.number,
        cell: run.cell as u64,
        repetition: run.repetition.into(),
        factors: cells.factors(run.cell),
        seed: run.seed,
        started_unix_ms: u64::try_from(started).unwrap_or(u64::MAX),
        ending,
        metrics,
        provenance,
    })))
}

/// Whether the signal that ends an experiment came to the run itself: those who end a batch job send
/// it to every process.
fn was_interrupted(report: &Value) -> bool {
    let ended_by = serde_json::from_value(report["ended_by"].clone());
    ended_by.is_ok_and(|by: EndedBy| by == EndedBy::Interrupt)
}

/// Whether such a signal found the run before it heard them itself.
fn was_asked_to_end(status: ExitStatus) -> bool {
    matches!(
        status.signal(),
        Some(libc::SIGINT | libc::SIGTERM | libc::SIGHUP)
    )
}

fn reported(report: &Value) -> (RunEnding, BTreeMap<String, f64>) {
    match serde_json::from_value(report["outcome"].clone()) {
        Ok(outcome) => (RunEnding::Reported { outcome }, metrics::of(report)),
        Err(_) => (failed("its report has no outcome"), BTreeMap::new()),
    }
}

fn failed(why: &str) -> RunEnding {
    let why = why.chars().take(WHY_MOST).collect();
    RunEnding::Failed { why }
}

/// The last line that a run without a report wrote, or how its process ended.
fn last_words(stderr: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    match (last, status.signal()) {
        (_, Some(signal)) => format!("ended by signal {signal}"),
        (Some(line), None) => line.trim_start_matches("vmm: ").to_owned(),
        (None, None) => "left no report and said nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_to_end_is_repeated_and_who_is_killed_has_failed() {
        let ended_by = |signal| was_asked_to_end(ExitStatus::from_raw(signal));
        assert!([libc::SIGINT, libc::SIGTERM, libc::SIGHUP].map(ended_by) == [true; 3]);
        assert!([libc::SIGKILL, libc::SIGSEGV, libc::SIGABRT, 0].map(ended_by) == [false; 4]);
    }
}
