//! All cells and metrics, as tables.

use super::cell::Cell;
use super::compare::Comparison;
use super::html::{escape, table};
use super::metric::{self, THROUGHPUT};
use super::study::Study;
use super::value;
use crate::lab::record::RunEnding;
use crate::lab::stats::{Ratio, Verdict};

/// Metrics that a table has room for beside the factors.
const COLUMNS: usize = 7;

/// One table of all cells for every few metrics.
pub(super) fn of_metrics(study: &Study) -> String {
    let metrics = study.metrics();
    if metrics.is_empty() {
        return "<p>No run has measured anything.</p>\n".to_owned();
    }
    let tables: Vec<_> = metrics
        .chunks(COLUMNS)
        .enumerate()
        .map(|(at, metrics)| {
            let caption = match at {
                0 => "Medians with their intervals".to_owned(),
                _ => "Medians with their intervals, continued".to_owned(),
            };
            of_some(study, metrics, &caption)
        })
        .collect();
    tables.concat()
}

fn of_some(study: &Study, metrics: &[String], caption: &str) -> String {
    let factors = factors(study);
    let compares = metrics.iter().any(|metric| metric == THROUGHPUT)
        && study.cells.iter().any(|cell| study.base_of(cell).is_some());
    let mut head: Vec<_> = factors.iter().map(|factor| escape(factor)).collect();
    head.push("runs".to_owned());
    for metric in metrics {
        head.push(escape(metric::title(metric)));
        if compares && metric == THROUGHPUT {
            head.push("times the baseline".to_owned());
        }
    }
    let row = |cell: &Cell| {
        let mut row: Vec<_> = factors
            .iter()
            .map(|factor| escape(cell.factor(factor)))
            .collect();
        row.push(runs(cell));
        for metric in metrics {
            row.push(median(cell, metric));
            if compares && metric == THROUGHPUT {
                row.push(against_base(study, cell));
            }
        }
        row
    };
    let rows: Vec<_> = study.cells.iter().map(row).collect();
    table(caption, &head, &rows)
}

/// Of every metric that both have a table of the cells, with the ratio of B to A.
pub(super) fn of_comparison(comparison: &Comparison) -> String {
    let factors = factors(&comparison.a);
    let of = |metric: &String| {
        let mut head: Vec<_> = factors.iter().map(|factor| escape(factor)).collect();
        head.extend(["runs in A", "A", "runs in B", "B", "B to A"].map(str::to_owned));
        let row = |(a, b): (&Cell, &Cell)| {
            let mut row: Vec<_> = factors
                .iter()
                .map(|factor| escape(a.factor(factor)))
                .collect();
            row.extend([runs(a), median(a, metric), runs(b), median(b, metric)]);
            let found = b.against(a, metric);
            row.push(found.map_or_else(|| "–".to_owned(), |found| ratio(&found, metric)));
            row
        };
        let rows: Vec<_> = comparison.cells().map(row).collect();
        table(metric::title(metric), &head, &rows)
    };
    comparison.metrics().iter().map(of).collect()
}

/// The varying factors, or any one where none varies: every row needs a heading.
pub(super) fn factors(study: &Study) -> Vec<String> {
    let varying: Vec<_> = study
        .varying()
        .into_iter()
        .map(|(factor, _)| factor)
        .collect();
    if !varying.is_empty() {
        return varying;
    }
    study
        .fixed()
        .into_iter()
        .take(1)
        .map(|(factor, _)| factor)
        .collect()
}

/// How many runs a cell has, and how many went wrong.
pub(super) fn runs(cell: &Cell) -> String {
    match cell.wrong_in_words() {
        wrong if wrong.is_empty() => cell.runs.len().to_string(),
        wrong => format!(
            "{}<br><strong class=\"wrong\">{}</strong>",
            cell.runs.len(),
            escape(&wrong)
        ),
    }
}

/// A median with its interval below it.
pub(super) fn median(cell: &Cell, metric: &str) -> String {
    let write = |value| metric::write(metric, value);
    match cell.summary(metric) {
        Some(summary) => format!(
            "{}<br><small>{}</small>",
            escape(&write(summary.median)),
            escape(&value::interval(summary.interval, write))
        ),
        None if cell.all_went_wrong() => {
            "no median:<br><small>all runs went wrong</small>".to_owned()
        }
        None => "–".to_owned(),
    }
}

fn against_base(study: &Study, cell: &Cell) -> String {
    let Some(base) = study.base_of(cell) else {
        return "baseline".to_owned();
    };
    match cell.paired_with(base, THROUGHPUT) {
        Some(found) => ratio(&found, THROUGHPUT),
        None => "–".to_owned(),
    }
}

/// A ratio with its interval and what it says below it.
pub(super) fn ratio(ratio: &Ratio, metric: &str) -> String {
    format!(
        "{}<br><small>{}<br>{}</small>",
        escape(&value::ratio(ratio.median)),
        escape(&value::interval(ratio.interval, value::ratio)),
        escape(verdict(ratio.verdict(), metric)),
    )
}

/// A verdict in words.
pub(super) fn verdict(verdict: Verdict, metric: &str) -> &'static str {
    let words = metric::known(metric).map_or(("more", "less"), |metric| (metric.more, metric.less));
    match verdict {
        Verdict::Higher => words.0,
        Verdict::Lower => words.1,
        Verdict::NoDifferenceShown => "no difference shown",
        Verdict::NotEnoughRuns => "not enough runs",
    }
}

/// Every run that went wrong, with what it said; empty where none did.
pub(super) fn wrong_runs(study: &Study) -> String {
    const MOST: usize = 200;
    let factors = factors(study);
    let mut head = vec!["run".to_owned(), "how".to_owned()];
    head.extend(factors.iter().map(|factor| escape(factor)));
    head.push("what it said".to_owned());
    let cells = study
        .cells
        .iter()
        .flat_map(|cell| cell.runs.iter().map(move |run| (cell, run)));
    let rows: Vec<_> = cells
        .filter_map(|(cell, run)| {
            let mut row = vec![run.run.to_string(), escape(run.ending.wrong()?)];
            row.extend(factors.iter().map(|factor| escape(cell.factor(factor))));
            row.push(match &run.ending {
                RunEnding::Failed { why } => escape(why),
                RunEnding::Reported { .. } => "–".to_owned(),
            });
            Some(row)
        })
        .take(MOST)
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let caption = match rows.len() {
        MOST => format!("The first {MOST} runs that went wrong; the CSV file has all"),
        _ => "Runs that went wrong".to_owned(),
    };
    table(&caption, &head, &rows)
}
