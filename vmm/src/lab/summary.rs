//! The table that closes an experiment: each cell's throughput, and which runs went wrong.

use std::collections::BTreeMap;
use std::fmt;

use super::cells::Cells;
use super::record::{Record, RunEnding};
use super::stats::median;
use crate::report::units;
use crate::text::plain;

/// How many reasons of failed runs are shown.
const SAID_SHOWN: usize = 5;

/// What is known of the runs so far, a cell each.
#[derive(Clone, Debug)]
pub struct Summary {
    cells: Vec<Cell>,
    /// What runs without a report said, and how many of them.
    said: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
struct Cell {
    label: String,
    rates: Vec<f64>,
    runs: u64,
    wrong: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// Of no run yet.
    pub fn new(cells: &Cells) -> Self {
        let cell = |cell| Cell {
            label: cells.label(cell),
            ..Cell::default()
        };
        let cells = (0..cells.count()).map(cell).collect();
        Self {
            cells,
            said: BTreeMap::new(),
        }
    }

    /// Adds a run.
    pub fn add(&mut self, record: &Record) {
        let place = usize::try_from(record.cell).ok();
        let Some(cell) = place.and_then(|place| self.cells.get_mut(place)) else {
            return;
        };
        cell.runs += 1;
        if let RunEnding::Failed { why } = &record.ending {
            *self.said.entry(plain(why)).or_default() += 1;
        }
        let rate = record.metrics.get("acquisitions_per_second");
        match record.ending.wrong() {
            Some(how) => *cell.wrong.entry(how).or_default() += 1,
            None => cell.rates.extend(rate),
        }
    }

    /// Runs that went wrong.
    pub fn wrong(&self) -> u64 {
        self.cells.iter().flat_map(|cell| cell.wrong.values()).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.cells.iter().map(|cell| cell.label.chars().count());
        let width = widths.max().unwrap_or(0).max(4);
        writeln!(
            f,
            "{:width$}  {:>4}  {:>12}  wrong",
            "cell", "runs", "acquired"
        )?;
        for cell in self.cells.iter().filter(|cell| cell.runs > 0) {
            let rate = median(&cell.rates).map_or_else(|| "-".to_owned(), units::per_second);
            let wrong = cell.wrong.iter().map(|(how, n)| format!("{n} {how}"));
            let wrong: Vec<_> = wrong.collect();
            let line = format!(
                "{:width$}  {:>4}  {rate:>12}  {}",
                cell.label,
                cell.runs,
                wrong.join(", ")
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        for (why, times) in self.said.iter().take(SAID_SHOWN) {
            writeln!(f, "{times} failed: {why}")?;
        }
        match self.said.len().saturating_sub(SAID_SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "and for {more} other reasons; see the results"),
        }
    }
}
