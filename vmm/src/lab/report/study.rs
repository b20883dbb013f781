//! The results of one experiment, put together from its folders.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::cell::Cell;
use super::error::ReportError;
use super::folder::{Folder, SpecText};
use super::html::printable;
use crate::lab::record::Record;

/// The results of one experiment.
#[derive(Clone, Debug)]
pub struct Study {
    /// The experiment's name.
    pub name: String,
    /// Digest of its specification.
    pub digest: String,
    /// The specification.
    pub spec: SpecText,
    /// Where the results come from.
    pub folders: Vec<PathBuf>,
    /// Every combination of factors that has a result, in the order of the specification.
    pub(super) cells: Vec<Cell>,
    /// Runs that have no result, as first and last of each gap.
    pub missing: Vec<(u64, u64)>,
}

/// Puts the folders of one experiment together: shards, or parts that ran elsewhere.
///
/// # Errors
/// Folders of different specifications, and runs with two results that differ.
pub fn join(folders: Vec<Folder>) -> Result<Study, ReportError> {
    let mut runs: BTreeMap<u64, (PathBuf, Record)> = BTreeMap::new();
    let mut spec = None;
    let mut paths = Vec::new();
    let mut first: Option<(PathBuf, String, String)> = None;
    for folder in folders {
        paths.push(folder.path);
        spec.get_or_insert(folder.spec);
        for (path, record) in folder.results {
            let (one_path, one, _) = first.get_or_insert_with(|| {
                (path.clone(), record.spec.clone(), record.experiment.clone())
            });
            if record.spec != *one {
                return Err(ReportError::MixedSpecs {
                    one_path: one_path.clone(),
                    one: printable(one),
                    other_path: path,
                    other: printable(&record.spec),
                });
            }
            match runs.entry(record.run) {
                Entry::Vacant(place) => {
                    place.insert((path, record));
                }
                Entry::Occupied(other) if other.get().1 == record => {}
                Entry::Occupied(other) => {
                    return Err(ReportError::TwoResults {
                        run: record.run,
                        one: other.get().0.clone(),
                        other: path,
                    });
                }
            }
        }
    }
    let Some((_, digest, name)) = first else {
        return Err(ReportError::NoRuns(paths.pop().unwrap_or_default()));
    };
    let spec = spec.unwrap_or_default();
    let missing = gaps(&runs, spec.runs);
    Ok(Study {
        name,
        digest,
        spec,
        folders: paths,
        cells: cells(runs.into_values().map(|(_, record)| record)),
        missing,
    })
}

fn cells(records: impl Iterator<Item = Record>) -> Vec<Cell> {
    // Factors too: a damaged file may give one number to two combinations.
    let mut cells: BTreeMap<_, Cell> = BTreeMap::new();
    for record in records {
        let cell = cells
            .entry((record.cell, record.factors.clone()))
            .or_insert_with(|| Cell {
                number: record.cell,
                factors: record.factors.clone(),
                runs: Vec::new(),
            });
        cell.runs.push(record);
    }
    for cell in cells.values_mut() {
        cell.runs.sort_by_key(|run| run.repetition);
    }
    cells.into_values().collect()
}

/// What is missing among `runs`, of which there are to be `count`.
fn gaps(runs: &BTreeMap<u64, (PathBuf, Record)>, count: u64) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut next = 0;
    for run in runs.keys() {
        if *run > next {
            gaps.push((next, run - 1));
        }
        next = run.saturating_add(1);
    }
    if count > next {
        gaps.push((next, count - 1));
    }
    gaps
}

/// Gaps as in `3, 7 to 9`, the first few of them.
pub(super) fn gaps_in_words(gaps: &[(u64, u64)]) -> String {
    const SHOWN: usize = 10;
    let gap = |(first, last): &(u64, u64)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    };
    let shown: Vec<_> = gaps.iter().take(SHOWN).map(gap).collect();
    let more = if gaps.len() > SHOWN { ", …" } else { "" };
    shown.join(", ") + more
}

impl Study {
    /// Whether every run has a result.
    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The names of the factors that take more than one value, with the values in the order of the
    /// specification.
    pub(super) fn varying(&self) -> Vec<(String, Vec<String>)> {
        self.all_factors()
            .into_iter()
            .filter(|(_, values)| values.len() > 1)
            .collect()
    }

    /// The factors with one value.
    pub(super) fn fixed(&self) -> Vec<(String, String)> {
        let one = |(factor, mut values): (String, Vec<String>)| match values.len() {
            1 => Some((factor, values.pop()?)),
            _ => None,
        };
        self.all_factors().into_iter().filter_map(one).collect()
    }

    fn all_factors(&self) -> Vec<(String, Vec<String>)> {
        let mut factors: BTreeMap<&String, Vec<String>> = BTreeMap::new();
        let names: BTreeSet<_> = self
            .cells
            .iter()
            .flat_map(|cell| cell.factors.keys())
            .collect();
        for cell in &self.cells {
            for factor in &names {
                let values = factors.entry(factor).or_default();
                let value = cell.factor(factor);
                if !values.iter().any(|other| other == value) {
                    values.push(value.to_owned());
                }
            }
        }
        factors
            .into_iter()
            .map(|(factor, values)| (factor.clone(), values))
            .collect()
    }

    /// Every run with its cell.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Record> {
        self.cells.iter().flat_map(|cell| &cell.runs)
    }

    /// The factors of the baseline with their values there.
    pub(super) fn baseline(&self) -> &BTreeMap<String, String> {
        &self.spec.baseline
    }

    /// The cell with these factors.
    pub(super) fn cell(&self, factors: &BTreeMap<String, String>) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.factors == *factors)
    }

    /// The cell that `cell` is compared with; `None` where the experiment has none, or it is `cell`.
    pub(super) fn base_of(&self, cell: &Cell) -> Option<&Cell> {
        let mut factors = cell.factors.clone();
        factors.extend(self.baseline().clone());
        self.cell(&factors)
            .filter(|base| base.factors != cell.factors)
    }

    /// Names of all metrics, in the order of [`super::metric::TABLE`], then by name.
    pub(super) fn metrics(&self) -> Vec<String> {
        let mut names: Vec<_> = self.runs().flat_map(|run| run.metrics.keys()).collect();
        names.sort_by_key(|name| (super::metric::place(name), *name));
        names.dedup();
        names.into_iter().cloned().collect()
    }
}

#[cfg(test)]
#[path = "study_test.rs"]
mod tests;
