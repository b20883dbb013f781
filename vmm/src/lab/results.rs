//! `results.jsonl`: a line for each finished run, there for good before the next run starts.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::cells::Cells;
use super::plan::Run;
use super::record::{Record, SCHEMA};
use crate::text::plain;

/// Longest line that is read; a record has less than a hundredth of it.
const LINE_MOST: u64 = 1 << 20;

/// Results that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The file cannot be opened, read or locked.
    #[error("{}: cannot be opened for reading and writing", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process is at it.
    #[error("{}: another vmm is writing to it; wait for it or name another folder", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line is no record of this experiment.
    #[error(
        "{}: line {line}: {why}; nothing was changed: repair or remove the line, and its run is \
         repeated",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// A record cannot be written. The file is what it was before.
    #[error(
        "{}: the run that has just ended cannot be recorded, all before it are; the same command \
         goes on from here",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ResultsError {
    /// Whether the disk failed in the middle of an experiment, rather than what was there before.
    pub fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Write { .. })
    }
}

/// What was found in a file of results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Numbers of the runs that are done.
    pub done: HashSet<u64>,
    /// Revisions of this program that did them.
    pub revisions: BTreeSet<String>,
    /// Bytes of a last line that was never finished, and is gone now.
    pub torn: u64,
}

/// A file of results that only this process writes to.
#[derive(Debug)]
pub(super) struct Results {
    path: PathBuf,
    file: File,
    /// Where its last whole line ends.
    end: u64,
}

impl Results {
    /// Opens or makes the results of `runs` at `path`. `each` sees every record that is there.
    ///
    /// # Errors
    /// [`ResultsError`]; then the file is what it was.
    pub(super) fn open(
        path: &Path,
        cells: &Cells,
        runs: &[Run],
        each: impl FnMut(&Record),
    ) -> Result<(Self, Found), ResultsError> {
        let failed = |source| ResultsError::Open {
            path: path.into(),
            source,
        };
        let mut options = OpenOptions::new();
        // Appended: where nobody watches that it has one writer, two do not write over each other.
        let options = options.read(true).append(true).create(true);
        let file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(ResultsError::InUse { path: path.into() });
            }
            // Not all network file systems have locks; their users have to take care themselves.
            Err(std::fs::TryLockError::Error(error)) if cannot_lock(&error) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut results = Self {
            path: path.into(),
            file,
            end: 0,
        };
        let found = results.read(cells, runs, each)?;
        if found.torn > 0 {
            results.file.set_len(results.end).map_err(failed)?;
            results.file.sync_all().map_err(failed)?;
        }
        Ok((results, found))
    }

    fn read(
        &mut self,
        cells: &Cells,
        runs: &[Run],
        mut each: impl FnMut(&Record),
    ) -> Result<Found, ResultsError> {
        let spec = cells.spec().digest();
        let runs: HashMap<_, _> = runs.iter().map(|run| (run.number, run)).collect();
        let mut found = Found::default();
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let limited = io::Read::take(&mut reader, LINE_MOST).read_until(b'\n', &mut line);
            let length = limited.map_err(|source| ResultsError::Open {
                path: self.path.clone(),
                source,
            })? as u64;
            if line.last() != Some(&b'\n') && length < LINE_MOST {
                found.torn = length;
                break;
            }
            let damaged = |why| ResultsError::Damaged {
                path: self.path.clone(),
                line: number,
                why,
            };
            let record: Record = serde_json::from_slice(&line).map_err(|error| {
                damaged(format!(
                    "no record of a run ({})",
                    plain(&error.to_string())
                ))
            })?;
            fits(&record, &spec, cells, &runs).map_err(damaged)?;
            if !found.done.insert(record.run) {
                return Err(damaged(format!("run {} comes twice", record.run)));
            }
            each(&record);
            found.revisions.insert(record.provenance.revision);
            self.end += length;
        }
        Ok(found)
    }

    /// Takes the file away if it has no run.
    pub(super) fn discard_if_empty(self) {
        if self.end == 0 {
            // An empty one does no harm but to be in the way.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Adds `record`, and returns when the disk has it.
    ///
    /// # Errors
    /// The disk is full, or gone. What was written of the line is taken back.
    pub(super) fn append(&mut self, record: &Record) -> Result<(), ResultsError> {
        let write = |file: &mut File| {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            // One write: a reader, and a crash of this process, find all of the line or nothing.
            let written = file.write(&line)?;
            if written < line.len() {
                // The next one says why.
                file.write_all(&line[written..])?;
            }
            file.sync_data()?;
            Ok(line.len() as u64)
        };
        match write(&mut self.file) {
            Ok(length) => {
                self.end += length;
                Ok(())
            }
            Err(source) => {
                // If this fails too, the next start takes the torn line away.
                let _ = self.file.set_len(self.end);
                Err(ResultsError::Write {
                    path: self.path.clone(),
                    source,
                })
            }
        }
    }
}

fn cannot_lock(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(libc::ENOLCK)
}

/// Whether `record` is one of this experiment and this shard.
fn fits(
    record: &Record,
    spec: &str,
    cells: &Cells,
    runs: &HashMap<u64, &Run>,
) -> Result<(), String> {
    if record.schema != SCHEMA {
        return Err(format!(
            "its schema is `{}`, not {SCHEMA}",
            plain(&record.schema)
        ));
    }
    if record.spec != spec {
        return Err(format!(
            "its specification has the digest {}, not {spec}",
            plain(&record.spec)
        ));
    }
    let number = record.run;
    let run = runs.get(&number);
    let run = run.ok_or_else(|| format!("run {number} is none of this shard"))?;
    let is_same = usize::try_from(record.cell) == Ok(run.cell)
        && record.repetition == u64::from(run.repetition)
        && record.seed == run.seed
        && record.factors == cells.factors(run.cell);
    if is_same {
        Ok(())
    } else {
        Err(format!(
            "run {number} has another cell, repetition or seed here"
        ))
    }
}

#[cfg(test)]
#[path = "results_test.rs"]
mod tests;
