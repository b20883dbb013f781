//! Folders of experiments that nobody has run.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vmm::lab::spec::Spec;

/// What a made-up run ends with.
#[derive(Clone, Debug)]
pub enum Made {
    /// It went well and measured this.
    Metrics(Vec<(&'static str, f64)>),
    /// It left a report with another outcome.
    Outcome(&'static str),
    /// It left none, but these words.
    Failed(String),
}

/// The values of a run's factors.
#[derive(Clone, Debug)]
pub struct Factors(Vec<(String, String)>);

impl Factors {
    /// The value of `factor`, which has to be one.
    ///
    /// # Panics
    /// When it is none.
    pub fn get(&self, factor: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == factor);
        &found.expect("a factor").1
    }

    /// The value of `factor` as a number.
    ///
    /// # Panics
    /// When it is none.
    pub fn number(&self, factor: &str) -> f64 {
        self.get(factor).parse().expect("a number")
    }
}

/// An experiment that nobody has run.
#[derive(Clone, Debug)]
pub struct Experiment {
    name: String,
    description: String,
    factors: Vec<(String, Vec<String>)>,
    baseline: Vec<(String, String)>,
    repetitions: u64,
    host_kind: String,
    revision: String,
    kernel: String,
}

impl Experiment {
    /// One without factors and with 5 repetitions.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            factors: Vec::new(),
            baseline: Vec::new(),
            repetitions: 5,
            host_kind: "vmx".to_owned(),
            revision: "0123abc".to_owned(),
            kernel: "6.12.0".to_owned(),
        }
    }

    /// With one more factor.
    #[must_use]
    pub fn factor(mut self, name: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.factors.push((name.to_owned(), values));
        self
    }

    /// Compared with this value.
    #[must_use]
    pub fn baseline(mut self, factor: &str, value: &str) -> Self {
        self.baseline.push((factor.to_owned(), value.to_owned()));
        self
    }

    /// With so many repetitions.
    #[must_use]
    pub fn repetitions(mut self, repetitions: u64) -> Self {
        self.repetitions = repetitions;
        self
    }

    /// Described so, which makes it one of another specification.
    #[must_use]
    pub fn described(mut self, description: &str) -> Self {
        self.description = description.to_owned();
        self
    }

    /// On a host of this kind with this kernel.
    #[must_use]
    pub fn host(mut self, kind: &str, kernel: &str) -> Self {
        self.host_kind = kind.to_owned();
        self.kernel = kernel.to_owned();
        self
    }

    /// By a program of this revision.
    #[must_use]
    pub fn revision(mut self, revision: &str) -> Self {
        self.revision = revision.to_owned();
        self
    }

    fn cells(&self) -> Vec<Factors> {
        let mut cells = vec![Vec::new()];
        for (factor, values) in &self.factors {
            let with = |cell: Vec<(String, String)>| {
                let with = move |value: &String| {
                    let mut cell = cell.clone();
                    cell.push((factor.clone(), value.clone()));
                    cell
                };
                values.iter().map(with)
            };
            cells = cells.into_iter().flat_map(with).collect();
        }
        cells.into_iter().map(Factors).collect()
    }

    fn spec(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let mut spec = format!("name = {}\n", quoted(&self.name));
        if !self.description.is_empty() {
            spec += &format!("description = {}\n", quoted(&self.description));
        }
        spec += &format!("repetitions = {}\n", self.repetitions);
        for (factor, values) in &self.factors {
            spec += &format!("{} = {}\n", quoted(factor), Value::from(values.clone()));
        }
        if !self.baseline.is_empty() {
            spec += "\n[baseline]\n";
        }
        for (factor, value) in &self.baseline {
            spec += &format!("{} = {}\n", quoted(factor), quoted(value));
        }
        spec
    }

    /// Its results, a line each: `made` tells what came of a cell's repetition.
    pub fn lines(&self, made: impl Fn(&Factors, u64) -> Made) -> Vec<String> {
        let cells = self.cells();
        let count = cells.len() as u64;
        let mut lines = Vec::new();
        for repetition in 0..self.repetitions {
            for (cell, factors) in (0..).zip(&cells) {
                let run = repetition * count + cell;
                lines.push(self.line(run, cell, repetition, factors, made(factors, repetition)));
            }
        }
        lines
    }

    fn line(&self, run: u64, cell: u64, repetition: u64, factors: &Factors, made: Made) -> String {
        let mut metrics = Map::new();
        let ending = match made {
            Made::Metrics(measured) => {
                metrics.extend(
                    measured
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value.into())),
                );
                json!({"how": "reported", "outcome": "completed"})
            }
            Made::Outcome(outcome) => json!({"how": "reported", "outcome": outcome}),
            Made::Failed(why) => json!({"how": "failed", "why": why}),
        };
        let factors: Map<_, _> = factors
            .0
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        json!({
            "schema": "vmm.experiment/1",
            "experiment": self.name,
            "spec": Spec::digest_of(&self.spec()),
            "run": run,
            "cell": cell,
            "repetition": repetition,
            "factors": factors,
            "seed": repetition + 1,
            "started_unix_ms": 1_700_000_000_000u64 + run * 2_500,
            "ending": ending,
            "metrics": metrics,
            "provenance": {
                "host_kind": self.host_kind,
                "kernel": self.kernel,
                "cpu_model": "A processor",
                "host_cpus": 2,
                "kvm_parameters": {"halt_poll_ns": "200000"},
                "version": "0.1.0",
                "revision": self.revision,
                "pause_ns": 12.5,
                "load_1min": 0.5,
                "host": "h057",
                "profile": "release",
            },
        })
        .to_string()
    }

    /// Writes specification and results into the folder `path`.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, path: &Path, made: impl Fn(&Factors, u64) -> Made) -> PathBuf {
        let lines = self.lines(made);
        self.write_lines(path, "results.jsonl", &lines)
    }

    /// Writes the specification and these results, to a file of this name.
    ///
    /// # Panics
    /// When that fails.
    pub fn write_lines(&self, path: &Path, name: &str, lines: &[String]) -> PathBuf {
        fs::create_dir_all(path).expect("a folder");
        fs::write(path.join("spec.toml"), self.spec()).expect("a specification");
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(path.join(name), text).expect("results");
        path.to_owned()
    }
}

/// A number around 1, the same for the same arguments: what differs from run to run.
pub fn noise(cell: &Factors, repetition: u64) -> f64 {
    let text = cell
        .0
        .iter()
        .map(|(name, value)| format!("{name}={value} "))
        .collect::<String>();
    let seed = text.bytes().fold(repetition + 1, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    0.95 + 0.1 * ((mixed >> 40) as f64 / f64::from(1 << 24))
}

/// An `overcommit` with the collapse and the cure in it.
pub fn overcommit() -> Experiment {
    Experiment::new("overcommit")
        .factor("lock", &["ticket", "pv-ticket-head", "tas"])
        .factor("pcpus", &["2"])
        .factor("vcpus", &["2", "4", "8", "16"])
        .baseline("lock", "ticket")
}

/// What the runs of [`overcommit`] find.
pub fn collapse(cell: &Factors, repetition: u64) -> Made {
    let times = cell.number("vcpus") / cell.number("pcpus");
    let rate = match cell.get("lock") {
        "ticket" if times > 1.0 => 1e5 / times,
        _ => 4e6 / times.sqrt(),
    };
    let rate = rate * noise(cell, repetition);
    Made::Metrics(vec![
        ("acquisitions_per_second", rate),
        ("wait_p99_ns", 2e10 / rate),
        ("fairness_jain", 0.99),
        ("seconds", 2.0),
    ])
}
