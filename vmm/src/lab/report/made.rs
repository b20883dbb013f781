//! Results that nobody has measured, for tests.

use std::collections::BTreeMap;

use super::cell::Cell;
use super::metric::THROUGHPUT;
use super::study::Study;
use crate::host::Kind;
use crate::lab::record::{Provenance, Record, RunEnding, SCHEMA};
use crate::report::run::Outcome;

/// Factors with their values.
pub(super) type Factors<'a> = &'a [(&'a str, &'a [&'a str])];

/// A run with this throughput.
pub(super) fn run(
    cell: u64,
    repetition: u64,
    factors: &BTreeMap<String, String>,
    rate: f64,
) -> Record {
    Record {
        schema: SCHEMA.to_owned(),
        experiment: "made".to_owned(),
        spec: "5eed".to_owned(),
        run: repetition.wrapping_mul(1000).wrapping_add(cell),
        cell,
        repetition,
        factors: factors.clone(),
        seed: repetition,
        started_unix_ms: 0,
        ending: RunEnding::Reported {
            outcome: Outcome::Completed,
        },
        metrics: BTreeMap::from([(THROUGHPUT.to_owned(), rate)]),
        provenance: Provenance {
            host: "h057".to_owned(),
            host_kind: Kind::Vmx,
            kernel: "6.12.0".to_owned(),
            cpu_model: "A processor".to_owned(),
            host_cpus: 2,
            kvm_parameters: BTreeMap::new(),
            version: "0.1.0".to_owned(),
            revision: "0123abc".to_owned(),
            profile: "release".to_owned(),
            pause_ns: 10.0,
            load_1min: 0.0,
        },
    }
}

/// An experiment of 5 repetitions; `rate` tells each cell's throughput, `None` that it has no cell.
pub(super) fn study(
    name: &str,
    factors: Factors<'_>,
    rate: impl Fn(&BTreeMap<String, String>) -> Option<f64>,
) -> Study {
    let mut all = vec![BTreeMap::new()];
    for (factor, values) in factors {
        let with = |cell: BTreeMap<String, String>| {
            values.iter().map(move |value| {
                let mut cell = cell.clone();
                cell.insert((*factor).to_owned(), (*value).to_owned());
                cell
            })
        };
        all = all.into_iter().flat_map(with).collect();
    }
    let cell = |(number, factors): (u64, BTreeMap<String, String>)| {
        let rate = rate(&factors)?;
        // Runs differ by a few percent, by the same in all cells.
        let runs = (0..5).map(|repetition| {
            run(
                number,
                repetition,
                &factors,
                rate * (1.0 + repetition as f64 / 100.0),
            )
        });
        Some(Cell {
            number,
            runs: runs.collect(),
            factors,
        })
    };
    Study {
        name: name.to_owned(),
        digest: "5eed".to_owned(),
        spec: Default::default(),
        folders: vec!["made".into()],
        cells: (0..).zip(all).filter_map(cell).collect(),
        missing: Vec::new(),
    }
}

impl Study {
    /// Compared with this value.
    pub(super) fn against(mut self, factor: &str, value: &str) -> Self {
        let baseline = &mut self.spec.baseline;
        baseline.insert(factor.to_owned(), value.to_owned());
        self
    }
}
