//! An experiment from its first run, or the one it was left at, to its last.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cells::Cells;
use super::folder::{Folder, FolderError};
use super::plan::{Plan, Run};
use super::provenance::Surroundings;
use super::results::{Found, Results, ResultsError};
use super::run_one::{self, Done};
use super::shard::Shard;
use super::summary::Summary;
use crate::report::resources::{Curve, Sample};

/// What a run takes beside its workload, until runs have been timed.
const AROUND: Duration = Duration::from_millis(300);

/// Why an experiment cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its results.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// Its runs.
    #[error("this program cannot be started once more")]
    Start(#[source] io::Error),
}

/// How an experiment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every run is recorded.
    Complete,
    /// The user wants no more; what is recorded stays.
    Interrupted,
}

/// An experiment, or a shard of one, that is ready to go on.
#[derive(Debug)]
pub struct Experiment {
    cells: Cells,
    results: Results,
    left: Vec<Run>,
    /// Runs of this shard.
    runs: usize,
    found: Found,
    summary: Summary,
    resources: Curve,
    /// Where it goes.
    resources_file: PathBuf,
}

/// How far an experiment is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Runs that are recorded.
    pub done: usize,
    /// Of so many.
    pub runs: usize,
    /// Of those, the ones that went wrong.
    pub wrong: u64,
    /// How long the rest will take.
    pub left: Duration,
    /// The run under way.
    pub now: &'a str,
}

impl Experiment {
    /// Looks at what is done already in `folder`, or makes it.
    ///
    /// # Errors
    /// [`Error`]; nothing has run.
    pub fn prepare(cells: Cells, folder: &Path, shard: Shard) -> Result<Self, Error> {
        let folder = Folder::prepare(folder, &cells.spec().to_toml(), shard)?;
        let runs = Plan::of(&cells).of_shard(shard);
        let path = folder.results(shard);
        let mut summary = Summary::new(&cells);
        let (results, found) = Results::open(&path, &cells, &runs, |record| summary.add(record))?;
        // Once more, now that the others see this one's file: of two that divide it in two ways and
        // start at once, no two go on.
        if let Err(error) = folder.check_division(shard) {
            results.discard_if_empty();
            return Err(error.into());
        }
        folder
            .sync()
            .map_err(|source| FolderError::Write { path, source })?;
        let is_left = |run: &&Run| !found.done.contains(&run.number);
        Ok(Self {
            resources: Curve::over(runs.iter().filter(is_left).count() as u64),
            resources_file: folder.resources(shard),
            left: runs.iter().filter(is_left).copied().collect(),
            runs: runs.len(),
            cells,
            results,
            found,
            summary,
        })
    }

    /// Its cells.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// What was found of earlier runs.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Runs of this shard.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// How long the runs that are left should take, if they are as long as they are meant to be.
    pub fn expected(&self) -> Duration {
        self.left.iter().map(|run| self.expected_of(run)).sum()
    }

    fn expected_of(&self, run: &Run) -> Duration {
        self.cells.workload(run.cell) + AROUND
    }

    /// Does the runs that are left. `interrupt` is readable when the user wants no more; `show` hears
    /// how far it is.
    ///
    /// # Errors
    /// [`Error`]; every run that was recorded stays so.
    pub fn run(
        &mut self,
        interrupt: &File,
        mut show: impl FnMut(Progress<'_>),
    ) -> Result<End, Error> {
        let surroundings = Surroundings::look();
        let mut expected = self.expected();
        let (mut spent, mut meant) = (Duration::ZERO, Duration::ZERO);
        for (place, run) in self.left.iter().enumerate() {
            let label = self.cells.label(run.cell);
            let start = Instant::now();
            // As much longer than meant as the runs before.
            let stretch = if meant.is_zero() {
                1.0
            } else {
                spent.as_secs_f64() / meant.as_secs_f64()
            };
            let left = expected.mul_f64(stretch);
            let (done, runs, wrong) = (
                self.runs - self.left.len() + place,
                self.runs,
                self.summary.wrong(),
            );
            let tick = || {
                show(Progress {
                    done,
                    runs,
                    wrong,
                    left: left.saturating_sub(start.elapsed()),
                    now: &label,
                });
            };
            let done = run_one::run(&self.cells, *run, &surroundings, interrupt.as_fd(), tick);
            match done.map_err(Error::Start)? {
                Done::Interrupted => return Ok(End::Interrupted),
                Done::Recorded(record) => {
                    self.results.append(&record)?;
                    self.summary.add(&record);
                }
            }
            let done = place as u64 + 1;
            if self.resources.is_due(done) {
                self.resources.add(Sample::of_this_process(done));
            }
            let should = self.expected_of(run);
            expected = expected.saturating_sub(should);
            meant += should;
            spent += start.elapsed();
        }
        Ok(End::Complete)
    }

    /// What this process took of the host while it did the runs, and writes it to a file beside the
    /// results. `None` where nothing was left to do.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_resources(&self) -> Result<Option<&Curve>, FolderError> {
        if self.resources.samples.is_empty() {
            return Ok(None);
        }
        let failed = |source| FolderError::Write {
            path: self.resources_file.clone(),
            source,
        };
        let text = serde_json::to_string_pretty(&self.resources);
        let text = text.map_err(|error| failed(error.into()))?;
        std::fs::write(&self.resources_file, text + "\n").map_err(failed)?;
        Ok(Some(&self.resources))
    }

    /// What is known of all runs.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}
