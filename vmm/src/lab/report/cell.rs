//! One combination of factors with all its runs.

use std::collections::BTreeMap;

use super::value;
use crate::lab::record::Record;
use crate::lab::stats::{Interval, Ratio, median, median_interval, paired, unpaired};

/// One combination of factors with all its runs.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// Its number in the specification.
    pub number: u64,
    /// Every factor's value.
    pub factors: BTreeMap<String, String>,
    /// Its runs, by repetition.
    pub runs: Vec<Record>,
}

/// A metric over the runs of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    /// Its median over the runs that went well.
    pub median: f64,
    /// The median's interval, where there are enough runs.
    pub interval: Option<Interval>,
    /// Runs that have it.
    pub runs: usize,
}

impl Cell {
    /// The runs that went well.
    pub(super) fn good(&self) -> impl Iterator<Item = &Record> {
        self.runs.iter().filter(|run| run.ending.wrong().is_none())
    }

    /// How many runs went wrong in which way.
    pub(super) fn wrong(&self) -> BTreeMap<&'static str, usize> {
        let mut wrong = BTreeMap::new();
        for way in self.runs.iter().filter_map(|run| run.ending.wrong()) {
            *wrong.entry(way).or_default() += 1;
        }
        wrong
    }

    /// The runs that went wrong in words, as in `2 hung, 1 violated`; empty where none did.
    pub(super) fn wrong_in_words(&self) -> String {
        let counts = self.wrong();
        let words: Vec<_> = counts
            .iter()
            .map(|(way, count)| format!("{count} {way}"))
            .collect();
        words.join(", ")
    }

    /// Whether it has runs and all of them went wrong.
    pub(super) fn all_went_wrong(&self) -> bool {
        self.good().next().is_none()
    }

    /// `metric` of every run that went well and has it.
    pub(super) fn values(&self, metric: &str) -> Vec<f64> {
        self.good()
            .filter_map(|run| run.metrics.get(metric).copied())
            .collect()
    }

    /// `metric` over the runs that went well; `None` where none has it.
    pub(super) fn summary(&self, metric: &str) -> Option<Summary> {
        let values = self.values(metric);
        Some(Summary {
            median: median(&values)?,
            interval: median_interval(&values),
            runs: values.len(),
        })
    }

    /// How many times as much `metric` is here as in `base`, over the repetitions that both have.
    pub(super) fn paired_with(&self, base: &Self, metric: &str) -> Option<Ratio> {
        // What ran on two hosts is no pair.
        let key = |run: &Record| (run.repetition, run.provenance.host.clone());
        let of_base: BTreeMap<_, _> = base
            .good()
            .filter_map(|run| Some((key(run), *run.metrics.get(metric)?)))
            .collect();
        let pairs: Vec<_> = self
            .good()
            .filter_map(|run| Some((*run.metrics.get(metric)?, *of_base.get(&key(run))?)))
            .collect();
        paired(&pairs)
    }

    /// How many times as much `metric` is here as in the same cell of another experiment.
    pub(super) fn against(&self, base: &Self, metric: &str) -> Option<Ratio> {
        unpaired(&self.values(metric), &base.values(metric))
    }

    /// The value of `factor`; a dash where the cell has none.
    pub(super) fn factor(&self, factor: &str) -> &str {
        self.factors.get(factor).map_or("–", String::as_str)
    }

    /// The number that the value of `factor` is.
    pub(super) fn number_of(&self, factor: &str) -> Option<f64> {
        value::number(self.factors.get(factor)?)
    }

    /// pCPUs: those of the scheduler or, where the host schedules, the CPUs that the vCPUs are bound
    /// to, or all of the host.
    pub(super) fn pcpus(&self) -> Option<f64> {
        let of_host = || {
            self.runs
                .first()
                .map(|run| f64::from(run.provenance.host_cpus))
        };
        self.number_of("pcpus")
            .or_else(|| value::listed_cpus(self.factors.get("cpus")?))
            .or_else(of_host)
            .filter(|pcpus| *pcpus > 0.0)
    }

    /// vCPUs per pCPU.
    pub(super) fn overcommit(&self) -> Option<f64> {
        Some(self.number_of("vcpus")? / self.pcpus()?)
    }
}
