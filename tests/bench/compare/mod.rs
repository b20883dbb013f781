//! `make bench-compare`: two builds in one session, or two files of `make bench`.
//!
//! Builds take turns, run by run, so that whatever else the host does disturbs both; what is shown
//! is the median of the quotients of runs made side by side, with its interval. Files were made at
//! different times: of theirs only what stands beside a floor or a peer is steady, so the quotients
//! with those are compared where there are any.

mod change;
mod files;
mod probes;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Bench;
use crate::record::write_json;
use change::Change;
use probes::{PROBES, Probe};

const SCHEMA: &str = "vmm.bench-compare/1";
const ROUNDS: usize = 31;

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sides {
    /// The base.
    pub(crate) old: PathBuf,
    /// What may differ from it.
    pub(crate) new: PathBuf,
}

/// Whether a probe is called `name`.
pub(crate) fn knows(name: &str) -> bool {
    PROBES.iter().any(|probe| probe.name == name)
}

/// Compares two files.
pub(crate) fn files(sides: &Sides, json: Option<&Path>) -> io::Result<()> {
    let files::Compared {
        changes,
        gone,
        added,
    } = files::compare(&sides.old, &sides.new)?;
    change::head();
    changes.iter().for_each(Change::show);
    for (names, whose) in [(&gone, "old"), (&added, "new")] {
        for name in names {
            println!("({name}: only in the {whose} file)");
        }
    }
    change::sum_up(&changes);
    let only = json!({ "only_old": gone, "only_new": added });
    write(json, &changes, only)
}

/// Writes what was found, and `more` that only this comparison has.
fn write(file: Option<&Path>, changes: &[Change], more: Value) -> io::Result<()> {
    write_json(file, || {
        let rows: Vec<_> = changes.iter().map(Change::json).collect();
        let mut text = json!({ "schema": SCHEMA, "rows": rows });
        if let (Value::Object(text), Value::Object(more)) = (&mut text, more) {
            text.extend(more);
        }
        text
    })
}

/// Measures both builds in turns; `bench` is the old one.
pub(crate) fn builds(
    mut bench: Bench,
    sides: &Sides,
    only: &[String],
    json: Option<&Path>,
) -> io::Result<()> {
    let mut changes = Vec::new();
    change::head();
    for probe in PROBES {
        if !only.is_empty() && !only.iter().any(|name| name == probe.name) {
            continue;
        }
        match in_turns(&mut bench, sides, probe) {
            Ok(found) => {
                found.iter().for_each(Change::show);
                changes.extend(found);
            }
            // A build that lacks what is measured says nothing about the rest.
            Err(error) => println!("({}: not compared: {error})", probe.name),
        }
    }
    change::sum_up(&changes);
    write(json, &changes, json!({ "quick": bench.quick }))
}

/// Runs one probe on both. Whoever runs second finds warmer caches, so they take turns at that too.
fn in_turns(bench: &mut Bench, sides: &Sides, probe: &Probe) -> io::Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    for round in 0..bench.rounds(ROUNDS) {
        let old_first = round % 2 == 0;
        let order = if old_first {
            [&sides.old, &sides.new]
        } else {
            [&sides.new, &sides.old]
        };
        let [first, second] = order.map(|vmm| {
            vmm.clone_into(&mut bench.vmm);
            (probe.run)(bench)
        });
        let (old, new) = if old_first {
            (first?, second?)
        } else {
            (second?, first?)
        };
        if round == 0 {
            changes = old.iter().map(Change::of).collect();
        }
        for ((change, old), new) in changes.iter_mut().zip(old).zip(new) {
            change.push(old.value, new.value);
        }
    }
    Ok(changes)
}
