//! The numbers for other programs (RFC 4180).

use std::collections::BTreeSet;

use super::compare::Comparison;
use super::metric::THROUGHPUT;
use super::study::Study;
use crate::lab::record::RunEnding;

/// A field, quoted where it has to be. What a spreadsheet would take for a formula gets the
/// apostrophe that makes it text there; numbers are none.
fn field(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    if is_formula {
        return quoted(&format!("'{text}"));
    }
    quoted(text)
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

fn line(fields: impl IntoIterator<Item = String>) -> String {
    let fields: Vec<_> = fields.into_iter().map(|text| field(&text)).collect();
    fields.join(",") + "\n"
}

fn factors(study: &Study) -> Vec<String> {
    let names: BTreeSet<_> = study
        .cells
        .iter()
        .flat_map(|cell| cell.factors.keys())
        .collect();
    names.into_iter().cloned().collect()
}

fn or_empty(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// One line a run, by its number.
pub fn runs(study: &Study) -> String {
    let (factors, metrics) = (factors(study), study.metrics());
    let fixed = [
        "run",
        "cell",
        "repetition",
        "seed",
        "started_unix_ms",
        "ending",
        "why",
        "host_kind",
        "kernel",
        "cpu_model",
        "host_cpus",
        "version",
        "revision",
        "pause_ns",
        "load_1min",
        "host",
        "profile",
    ];
    let names = fixed.map(str::to_owned).into_iter();
    let mut csv = line(
        names
            .chain(factors.iter().cloned())
            .chain(metrics.iter().cloned()),
    );
    let mut all: Vec<_> = study.runs().collect();
    all.sort_by_key(|run| run.run);
    for run in all {
        let provenance = &run.provenance;
        let why = match &run.ending {
            RunEnding::Failed { why } => why.clone(),
            RunEnding::Reported { .. } => String::new(),
        };
        let fixed = [
            run.run.to_string(),
            run.cell.to_string(),
            run.repetition.to_string(),
            run.seed.to_string(),
            run.started_unix_ms.to_string(),
            run.ending.wrong().unwrap_or("completed").to_owned(),
            why,
            provenance.host_kind.to_string(),
            provenance.kernel.clone(),
            provenance.cpu_model.clone(),
            provenance.host_cpus.to_string(),
            provenance.version.clone(),
            provenance.revision.clone(),
            provenance.pause_ns.to_string(),
            provenance.load_1min.to_string(),
            provenance.host.clone(),
            provenance.profile.clone(),
        ];
        let of_factor = |factor| run.factors.get(factor).cloned().unwrap_or_default();
        let of_metric = |metric| or_empty(run.metrics.get(metric).copied());
        let more = factors
            .iter()
            .map(of_factor)
            .chain(metrics.iter().map(of_metric));
        csv += &line(fixed.into_iter().chain(more));
    }
    csv
}

/// One line a cell: of every metric the median and its interval, and of the throughput the ratio to
/// the baseline.
pub fn cells(study: &Study) -> String {
    let (factors, metrics) = (factors(study), study.metrics());
    let mut head: Vec<String> = ["cell", "runs", "went_wrong"].map(str::to_owned).into();
    head.extend(factors.iter().cloned());
    for metric in &metrics {
        head.extend(["median", "low", "high", "level"].map(|part| format!("{metric}_{part}")));
    }
    head.extend(["ratio", "ratio_low", "ratio_high", "ratio_level", "pairs"].map(str::to_owned));
    let mut csv = line(head);
    for cell in &study.cells {
        let wrong: usize = cell.wrong().values().sum();
        let mut row = vec![
            cell.number.to_string(),
            cell.runs.len().to_string(),
            wrong.to_string(),
        ];
        row.extend(
            factors
                .iter()
                .map(|factor| cell.factors.get(factor).cloned().unwrap_or_default()),
        );
        for metric in &metrics {
            let summary = cell.summary(metric);
            let interval = summary.and_then(|summary| summary.interval);
            row.push(or_empty(summary.map(|summary| summary.median)));
            row.push(or_empty(interval.map(|interval| interval.low)));
            row.push(or_empty(interval.map(|interval| interval.high)));
            row.push(or_empty(interval.map(|interval| interval.level)));
        }
        let base = study.base_of(cell);
        let ratio = base.and_then(|base| cell.paired_with(base, THROUGHPUT));
        let interval = ratio.and_then(|ratio| ratio.interval);
        row.push(or_empty(ratio.map(|ratio| ratio.median)));
        row.push(or_empty(interval.map(|interval| interval.low)));
        row.push(or_empty(interval.map(|interval| interval.high)));
        row.push(or_empty(interval.map(|interval| interval.level)));
        row.push(
            ratio
                .map(|ratio| ratio.runs.to_string())
                .unwrap_or_default(),
        );
        csv += &line(row);
    }
    csv
}

/// One line a combination and metric: both medians and the ratio of B to A.
pub fn compared(comparison: &Comparison) -> String {
    let factors = factors(&comparison.a);
    let mut head = vec!["metric".to_owned()];
    head.extend(factors.iter().cloned());
    head.extend(
        [
            "a",
            "a_runs",
            "b",
            "b_runs",
            "ratio",
            "ratio_low",
            "ratio_high",
            "ratio_level",
        ]
        .map(str::to_owned),
    );
    let mut csv = line(head);
    for (a, b) in comparison.cells() {
        for metric in comparison.metrics() {
            let mut row = vec![metric.clone()];
            row.extend(
                factors
                    .iter()
                    .map(|factor| a.factors.get(factor).cloned().unwrap_or_default()),
            );
            for cell in [a, b] {
                let summary = cell.summary(&metric);
                row.push(or_empty(summary.map(|summary| summary.median)));
                row.push(summary.map_or(0, |summary| summary.runs).to_string());
            }
            let ratio = b.against(a, &metric);
            let interval = ratio.and_then(|ratio| ratio.interval);
            row.push(or_empty(ratio.map(|ratio| ratio.median)));
            row.push(or_empty(interval.map(|interval| interval.low)));
            row.push(or_empty(interval.map(|interval| interval.high)));
            row.push(or_empty(interval.map(|interval| interval.level)));
            csv += &line(row);
        }
    }
    csv
}

#[cfg(test)]
#[path = "csv_test.rs"]
mod tests;
