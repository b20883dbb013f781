//! The combinations of an experiment's factors, each a cell, and what `vmm run` is told in each.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::factor::Factor;
use super::spec::{Part, Spec};
use super::spec_error::{RUNS_MOST, SpecError};

/// Most combinations that are looked at before `skip` leaves some out.
const COMBINATIONS_MOST: u128 = 10 * RUNS_MOST;
/// What a run may take beyond its workload's time, if the specification does not say.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for each second of the workload: vCPUs that share a pCPU start and end late.
const PATIENCE_FACTOR: u32 = 10;

/// The cells of a specification, from 0 in its order: the last factor varies fastest.
#[derive(Clone, Debug)]
pub struct Cells {
    spec: Spec,
    /// Of each cell the place of each factor's value.
    values: Vec<Vec<usize>>,
    /// Of each cell the one that it is compared with, which may be itself.
    baselines: Vec<usize>,
}

impl Cells {
    /// The cells of `spec`.
    ///
    /// # Errors
    /// None, too many, or one without a baseline.
    pub fn of(spec: Spec) -> Result<Self, SpecError> {
        let sizes: Vec<_> = spec.factors.iter().map(|f| f.values.len()).collect();
        let product = sizes
            .iter()
            .fold(1u128, |product, size| product.saturating_mul(*size as u128));
        let too_many = |cells: u128| SpecError::TooMany {
            runs: cells.saturating_mul(spec.repetitions.into()),
        };
        if product > COMBINATIONS_MOST {
            return Err(too_many(product));
        }
        let is_skipped = |cell: &[usize]| spec.skip.iter().any(|part| matches(part, cell));
        let mut values = Vec::new();
        let mut next = Some(vec![0; sizes.len()]);
        while let Some(cell) = next {
            next = successor(&cell, &sizes);
            if !is_skipped(&cell) {
                values.push(cell);
            }
        }
        if values.is_empty() {
            return Err(SpecError::AllSkipped);
        }
        let cells = values.len() as u128;
        if cells * u128::from(spec.repetitions) > RUNS_MOST {
            return Err(too_many(cells));
        }
        let mut cells = Self {
            spec,
            values,
            baselines: Vec::new(),
        };
        cells.baselines = cells.find_baselines()?;
        Ok(cells)
    }

    fn find_baselines(&self) -> Result<Vec<usize>, SpecError> {
        let places = self.values.iter().enumerate();
        let by_values: HashMap<_, _> = places.map(|(cell, values)| (values, cell)).collect();
        let find = |(cell, values): (usize, &Vec<usize>)| {
            let mut baseline = values.clone();
            for (place, value) in self.spec.baseline.iter().flatten() {
                baseline[*place] = *value;
            }
            let found = by_values.get(&baseline).copied();
            found.ok_or_else(|| SpecError::NoBaseline {
                cell: self.title(cell),
            })
        };
        self.values.iter().enumerate().map(find).collect()
    }

    /// The specification.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// Of each cell the one that it is compared with; itself where it is one, or there is none.
    pub fn baselines(&self) -> &[usize] {
        &self.baselines
    }

    fn pairs(&self, cell: usize) -> impl Iterator<Item = (&Factor, &String)> {
        let values = self.values[cell].iter();
        let factors = self.spec.factors.iter().zip(values);
        factors.map(|(factor, value)| (factor, &factor.values[*value]))
    }

    /// Every factor's value in `cell`.
    pub fn factors(&self, cell: usize) -> BTreeMap<String, String> {
        let owned = |(factor, value): (&Factor, &String)| (factor.name.clone(), value.clone());
        self.pairs(cell).map(owned).collect()
    }

    /// What tells `cell` from the others, as in `lock=ticket vcpus=8`.
    pub fn label(&self, cell: usize) -> String {
        let varying = self.pairs(cell).filter(|(factor, _)| Spec::varies(factor));
        let parts: Vec<_> = varying
            .map(|(factor, value)| format!("{}={value}", factor.name))
            .collect();
        parts.join(" ")
    }

    /// The cell in an error.
    fn title(&self, cell: usize) -> String {
        match self.label(cell) {
            label if label.is_empty() => "the only combination".to_owned(),
            label => format!("cell {cell} ({label})"),
        }
    }

    /// Has `check` look at each cell's command line, without the program's name.
    ///
    /// # Errors
    /// The first that it does not take.
    pub fn check(&self, check: impl Fn(&[String]) -> Result<(), String>) -> Result<(), SpecError> {
        (0..self.count()).try_for_each(|cell| {
            check(&self.command_line(cell, self.spec.seed)).map_err(|why| SpecError::Refused {
                cell: self.title(cell),
                why,
            })
        })
    }

    /// The words of `vmm run` for `cell`, its report going to standard output.
    pub fn command_line(&self, cell: usize, seed: u64) -> Vec<String> {
        let mut line: Vec<_> = ["run", "--json=-", "--serial=null"]
            .map(String::from)
            .into();
        line.push(format!("--timeout={}", self.timeout(cell).as_secs_f64()));
        line.push(format!("--seed={seed}"));
        let words = |guests: bool| {
            let of_kind = move |(factor, value): (&Factor, &String)| {
                let word = factor.knob.word(&factor.name, value);
                word.filter(|_| factor.knob.is_guests() == guests)
            };
            self.pairs(cell).filter_map(of_kind)
        };
        line.extend(words(false));
        line.push("--".to_owned());
        line.extend(words(true));
        let seconds = self.spec.seconds.as_secs_f64();
        line.extend([format!("seconds={seconds}"), format!("seed={seed}")]);
        line
    }

    /// How long a run of `cell` may take.
    pub fn timeout(&self, cell: usize) -> Duration {
        let default = || self.workload(cell) * PATIENCE_FACTOR + PATIENCE;
        self.spec.timeout.unwrap_or_else(default)
    }

    /// How long a run of `cell` should take, its start and end aside.
    pub fn workload(&self, cell: usize) -> Duration {
        const DAY: f64 = 86_400.0;
        let mut pairs = self.pairs(cell);
        let settle = pairs.find(|(factor, _)| factor.name == "settle");
        let seconds = settle.and_then(|(_, value)| value.parse().ok());
        let settle = seconds.filter(|seconds| (0.0..=DAY).contains(seconds));
        self.spec.seconds + Duration::from_secs_f64(settle.unwrap_or(0.0))
    }
}

fn matches(part: &Part, cell: &[usize]) -> bool {
    part.iter()
        .all(|(place, values)| values.contains(&cell[*place]))
}

/// The combination after `cell`.
fn successor(cell: &[usize], sizes: &[usize]) -> Option<Vec<usize>> {
    let mut next = cell.to_vec();
    for place in (0..cell.len()).rev() {
        next[place] += 1;
        if next[place] < sizes[place] {
            return Some(next);
        }
        next[place] = 0;
    }
    None
}

#[cfg(test)]
#[path = "cells_test.rs"]
mod tests;
