//! One folder of an experiment, as it is on the disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ReportError;
use super::html::printable;
use crate::lab::SpecError;
use crate::lab::cells::Cells;
use crate::lab::factor::Names;
use crate::lab::folder::SPEC_FILE;
use crate::lab::record::{Record, SCHEMA};
use crate::lab::shard::Shard;
use crate::lab::spec::{Overrides, Spec};

/// One folder of an experiment, as it is on the disk.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// Its specification.
    pub spec: SpecText,
    /// Every result with its file, in the files' order.
    pub results: Vec<(PathBuf, Record)>,
    /// Files whose last line was cut off: a run was being written down when the machine stopped.
    pub torn: Vec<PathBuf>,
}

/// What a report takes from the specification itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecText {
    /// The file, as it is.
    pub text: String,
    /// What the experiment is for, where it says so.
    pub description: Option<String>,
    /// How often each combination runs.
    pub repetitions: u32,
    /// How many runs there are to be.
    pub runs: u64,
    /// How long each run's workload counts, in words.
    pub seconds: String,
    /// Seed of the order and of the runs.
    pub seed: String,
    /// How long a run may take, in words.
    pub timeout: String,
    /// Factors' values that others are compared with.
    pub baseline: BTreeMap<String, String>,
}

/// Reads the folder at `path`.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn read(path: &Path, names: &Names) -> Result<Folder, ReportError> {
    let files = result_files(path)?;
    let spec_file = path.join(SPEC_FILE);
    let spec = spec(&spec_file, names)?;
    let mut folder = Folder {
        path: path.into(),
        spec,
        results: Vec::new(),
        torn: Vec::new(),
    };
    for file in files {
        read_results(&file, &mut folder)?;
    }
    if folder.results.is_empty() {
        return Err(ReportError::NoRuns(path.into()));
    }
    let digest = Spec::digest_of(&folder.spec.text);
    let foreign = |(_, record): &&(PathBuf, Record)| record.spec != digest;
    if let Some((file, record)) = folder.results.iter().find(foreign) {
        return Err(ReportError::Foreign {
            spec: spec_file,
            digest,
            path: file.clone(),
            other: printable(&record.spec),
        });
    }
    Ok(folder)
}

fn result_files(folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let failed = |source| ReportError::Read {
        path: folder.into(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| Shard::of_file_name(name).is_some())
        {
            files.push(entry.path());
        }
    }
    if files.is_empty() {
        return Err(ReportError::NoResults(folder.into()));
    }
    files.sort();
    Ok(files)
}

fn spec(path: &Path, names: &Names) -> Result<SpecText, ReportError> {
    let text = fs::read_to_string(path).map_err(|source| ReportError::Read {
        path: path.into(),
        source,
    })?;
    let bad = |error: SpecError| ReportError::Spec {
        path: path.into(),
        why: printable(&error.to_string()),
    };
    let spec = Spec::parse(&text, "", &Overrides::default(), names).map_err(bad)?;
    let cells = Cells::of(spec).map_err(bad)?;
    let spec = cells.spec();
    let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
    let value = |(factor, value): &(usize, usize)| {
        let factor = spec.factors.get(*factor)?;
        Some((factor.name.clone(), factor.values.get(*value)?.clone()))
    };
    Ok(SpecText {
        description: Some(spec.description.clone()).filter(|text| !text.is_empty()),
        repetitions: spec.repetitions,
        runs: (cells.count() as u64).saturating_mul(spec.repetitions.into()),
        seconds: seconds(spec.seconds),
        seed: spec.seed.to_string(),
        timeout: spec
            .timeout
            .map_or_else(|| "by default".to_owned(), seconds),
        baseline: spec.baseline.iter().flatten().filter_map(value).collect(),
        text,
    })
}

fn read_results(path: &Path, into: &mut Folder) -> Result<(), ReportError> {
    let failed = |source| ReportError::Read {
        path: path.into(),
        source,
    };
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let is_whole = line.ends_with(b"\n");
        // Lines are written with their end: one without it was being written, and its run is made
        // again, whatever it says.
        if !is_whole {
            into.torn.push(path.into());
            continue;
        }
        if let Some(record) = record(path, number, line.trim_ascii())? {
            into.results.push((path.into(), record));
        }
    }
    Ok(())
}

fn record(path: &Path, line: usize, text: &[u8]) -> Result<Option<Record>, ReportError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = |error: serde_json::Error| ReportError::Line {
        path: path.into(),
        line,
        why: printable(&error.to_string()),
    };
    // The schema first: a record of another one need not have these fields.
    let value: BTreeMap<String, serde_json::Value> = serde_json::from_slice(text).map_err(bad)?;
    match value.get("schema").and_then(serde_json::Value::as_str) {
        Some(SCHEMA) => serde_json::from_slice(text).map(Some).map_err(bad),
        other => Err(ReportError::Schema {
            path: path.into(),
            line,
            schema: printable(other.unwrap_or("none")),
        }),
    }
}
