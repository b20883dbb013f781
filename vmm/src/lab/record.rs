//! One finished run of an experiment: a line of `results.jsonl`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::host::Kind;
use crate::report::run::Outcome;

/// Value of [`Record::schema`].
pub const SCHEMA: &str = "vmm.experiment/1";

/// One finished run, whatever became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// The experiment's name.
    pub experiment: String,
    /// Digest of the whole specification, in hexadecimal: records of different ones do not mix.
    pub spec: String,
    /// Place of the run in the interleaved order, from 0; the same in every shard.
    pub run: u64,
    /// The combination of factors, from 0 in the order of the specification.
    pub cell: u64,
    /// Which repetition, from 0.
    pub repetition: u64,
    /// Every factor's value in this run, those with a single value included.
    pub factors: BTreeMap<String, String>,
    /// Seed of this run: the same for all cells of a repetition, which makes them pairs.
    pub seed: u64,
    /// When it started, in ms since 1970 (UTC).
    pub started_unix_ms: u64,
    /// How it ended.
    pub ending: RunEnding,
    /// What was measured, by name with the unit; empty where nothing was.
    pub metrics: BTreeMap<String, f64>,
    /// Where and with what it ran.
    pub provenance: Provenance,
}

/// How a run ended: a run that went wrong is a result too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum RunEnding {
    /// It left a report.
    Reported {
        /// Its outcome.
        outcome: Outcome,
    },
    /// It left none.
    Failed {
        /// What it said on standard error, or what became of the process.
        why: String,
    },
}

impl RunEnding {
    /// How it went wrong, in a word or two; `None` where it went well.
    pub fn wrong(&self) -> Option<&'static str> {
        match self {
            Self::Failed { .. } => Some("failed"),
            Self::Reported { outcome } => match outcome {
                Outcome::Completed => None,
                Outcome::Violated => Some("violated"),
                Outcome::Hung => Some("hung"),
                Outcome::Crashed => Some("crashed"),
                Outcome::Timeout => Some("timed out"),
                Outcome::Stopped => Some("stopped"),
                Outcome::Migrated => Some("migrated"),
            },
        }
    }
}

/// Where and with what a run ran. Numbers of runs that differ in it do not compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Tells the host from others; empty where it was not recorded.
    #[serde(default)]
    pub host: String,
    /// What KVM virtualises with.
    pub host_kind: Kind,
    /// Kernel release.
    pub kernel: String,
    /// Processor, as /proc/cpuinfo names it.
    pub cpu_model: String,
    /// Host CPUs that this process may use.
    pub host_cpus: u32,
    /// KVM's module parameters that bear on scheduling, by name.
    pub kvm_parameters: BTreeMap<String, String>,
    /// Version of this program.
    pub version: String,
    /// Revision it was built from, with `-dirty` where the tree was; `unknown` outside a checkout.
    /// Behind these two a `+` and a digest of the executable.
    pub revision: String,
    /// Profile it was built with, `debug` or `release`; empty where it was not recorded.
    #[serde(default)]
    pub profile: String,
    /// How long a PAUSE takes here, in ns, measured before the run.
    pub pause_ns: f64,
    /// Load average over one minute before the run.
    pub load_1min: f64,
}

#[cfg(test)]
#[path = "record_test.rs"]
mod tests;
