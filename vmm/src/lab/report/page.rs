//! The page: one file that needs nothing else.

use std::fmt::Write;

use super::compare::Comparison;
use super::error::ReportError;
use super::findings;
use super::findings::finding::{Finding, Met, Weight};
use super::html::{escape, table};
use super::layout::layout;
use super::provenance::{self, Field};
use super::study::Study;
use super::{figures, metric, tables, value};
use crate::lab::stats::{LEVEL, RESAMPLES, SEED, SURE_FROM};

const STYLE: &str = include_str!("style.css");

/// The page about one experiment.
///
/// # Errors
/// [`ReportError::Plot`].
pub fn page(study: &Study) -> Result<String, ReportError> {
    let layout = layout(study);
    let fields = provenance::over(study.runs());
    let mut body = String::new();
    body += &heading(&title(study, &fields), study.spec.description.as_deref());
    body += &meta(study);
    body += &warnings(study, &fields);
    body += &of_findings(&findings::of(study, &layout));
    body += "<h2>Plots</h2>\n";
    body += &figures::of_study(study, &layout)?;
    body += "<h2>Tables</h2>\n";
    body += &tables::of_metrics(study);
    body += &tables::wrong_runs(study);
    body += &how_made(Pairing::Repetitions);
    body += &of_provenance("Provenance", &fields, study);
    body += &specification("Specification", study);
    Ok(document(&title(study, &fields), &body))
}

/// The page about two experiments side by side.
///
/// # Errors
/// [`ReportError::Plot`].
pub fn comparison_page(comparison: &Comparison) -> Result<String, ReportError> {
    let layout = layout(&comparison.a);
    let [a, b] = comparison.names();
    let title = comparison_title(comparison);
    let mut body = heading(&title, comparison.a.spec.description.as_deref());
    for (letter, name, study) in [("A", &a, &comparison.a), ("B", &b, &comparison.b)] {
        let fields = provenance::over(study.runs());
        let _ = writeln!(
            body,
            "<p><strong>{letter}</strong> is {}.</p>",
            escape(name)
        );
        body += &meta(study);
        body += &warnings(study, &fields);
    }
    body += &differences(comparison);
    body += &of_findings(&comparison.findings(&layout));
    body += "<h2>Plots</h2>\n";
    body += &figures::of_ratios(&layout, "same combination in A, in B", |cell| {
        comparison
            .b
            .cell(&cell.factors)?
            .against(cell, metric::THROUGHPUT)
    })?;
    body += "<h2>Tables</h2>\n";
    body += &tables::of_comparison(comparison);
    body += &how_made(Pairing::None);
    for (letter, study) in [("A", &comparison.a), ("B", &comparison.b)] {
        let fields = provenance::over(study.runs());
        body += &of_provenance(&format!("Provenance of {letter}"), &fields, study);
        body += &specification(&format!("Specification of {letter}"), study);
    }
    Ok(document(&title, &body))
}

fn comparison_title(comparison: &Comparison) -> String {
    let title = |study: &Study| title(study, &provenance::over(study.runs()));
    let (a, b) = (title(&comparison.a), title(&comparison.b));
    if a == b {
        format!("{a}: A and B")
    } else {
        format!("{a} (A) and {b} (B)")
    }
}

/// In which fields of the provenance two experiments differ.
fn differences(comparison: &Comparison) -> String {
    let differing = comparison.differing();
    let mut html = String::new();
    for (setting, a, b) in comparison.settings() {
        let _ = writeln!(
            html,
            "<p class=\"warning\">The specifications differ in {}: {} in A, {} in B.</p>",
            escape(setting),
            escape(&a),
            escape(&b)
        );
    }
    if differing.is_empty() {
        let fields = provenance::over(comparison.a.runs());
        let same: Vec<_> = provenance::known(&fields).collect();
        let _ = writeln!(
            html,
            "<p>No difference is recorded in {}. What is not recorded may differ.</p>",
            escape(&same.join(", "))
        );
        return html;
    }
    let head = ["what", "A", "B"].map(str::to_owned);
    let rows: Vec<_> = differing
        .iter()
        .map(|(field, a, b)| vec![escape(field), escape(a), escape(b)])
        .collect();
    let names: Vec<_> = differing.iter().map(|(field, _, _)| *field).collect();
    html + &format!(
        "<p class=\"warning\">A and B differ in {}.</p>\n<div class=\"facts\">{}</div>\n",
        escape(&names.join(", ")),
        table("In what A and B differ", &head, &rows)
    )
}

/// The findings of a comparison as text, for a terminal.
pub fn comparison_summary(comparison: &Comparison) -> String {
    let findings = comparison.findings(&layout(&comparison.a));
    in_text(&comparison_title(comparison), findings)
}

/// The findings as text, for a terminal.
pub fn summary(study: &Study) -> String {
    let fields = provenance::over(study.runs());
    in_text(&title(study, &fields), findings::of(study, &layout(study)))
}

fn in_text(title: &str, findings: Vec<Finding>) -> String {
    let mut text = format!("{title}\n");
    for finding in findings {
        if finding.weight == Weight::Headline {
            let _ = writeln!(text, "- {}", finding.text);
            if let Some(target) = finding.target {
                let _ = writeln!(text, "  target: {} ({})", target.text, met(target.met).1);
            }
        }
    }
    super::html::printable_lines(&text)
}

/// How ratios are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pairing {
    /// Run by run.
    Repetitions,
    /// Not.
    None,
}

/// The title names the kind of host: numbers of different kinds do not compare.
fn title(study: &Study, fields: &[Field]) -> String {
    let kinds = fields.iter().find(|(name, _)| *name == "host kind");
    let kinds: Vec<_> = kinds
        .map(|(_, kinds)| kinds.keys().cloned().collect())
        .unwrap_or_default();
    format!("{} on {}", study.name, kinds.join(" and "))
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

fn heading(title: &str, description: Option<&str>) -> String {
    let description = description.map(|text| format!("<p>{}</p>\n", escape(text)));
    format!(
        "<h1>{}</h1>\n{}",
        escape(title),
        description.unwrap_or_default()
    )
}

fn meta(study: &Study) -> String {
    let runs = study.runs().count();
    let wrong: usize = study
        .cells
        .iter()
        .flat_map(|cell| cell.wrong().into_values())
        .sum();
    let fixed: Vec<_> = study
        .fixed()
        .into_iter()
        .map(|(factor, value)| format!("{factor} {value}"))
        .collect();
    let mut html = format!(
        "<p class=\"meta\">{runs} runs of {} combinations; {wrong} went wrong.",
        study.cells.len()
    );
    if !fixed.is_empty() {
        let _ = write!(html, " The same in all: {}.", escape(&fixed.join(", ")));
    }
    html + "</p>\n"
}

fn warnings(study: &Study, fields: &[Field]) -> String {
    let mut html = String::new();
    let differing = provenance::differing(fields);
    if !differing.is_empty() {
        let _ = writeln!(
            html,
            "<p class=\"warning\">These runs do not come from one place: they differ in {}. Numbers \
             of different hosts or builds do not compare; see the provenance below.</p>",
            escape(&differing.join(", "))
        );
    }
    if !study.missing.is_empty() {
        let count = study.missing.iter().fold(0u64, |sum, (first, last)| {
            sum.saturating_add(last - first).saturating_add(1)
        });
        let _ = writeln!(
            html,
            "<p class=\"warning\">{count} runs have no result yet: {}.</p>",
            escape(&super::study::gaps_in_words(&study.missing))
        );
    }
    html
}

fn met(met: Met) -> (&'static str, &'static str) {
    match met {
        Met::Yes => ("yes", "met"),
        Met::No => ("no", "not met"),
        Met::Open => ("open", "open"),
    }
}

fn list(findings: &[&Finding]) -> String {
    let mut html = "<ul class=\"findings\">\n".to_owned();
    for finding in findings {
        let _ = write!(html, "<li>{}", escape(&finding.text));
        if let Some(target) = &finding.target {
            let (class, word) = met(target.met);
            let _ = write!(
                html,
                " <span class=\"target\">Target: {}: <strong class=\"{class}\">{word}</strong></span>",
                escape(&target.text)
            );
        }
        html += "</li>\n";
    }
    html + "</ul>\n"
}

fn of_findings(findings: &[Finding]) -> String {
    let of = |weight| {
        findings
            .iter()
            .filter(move |finding| finding.weight == weight)
    };
    let headlines: Vec<_> = of(Weight::Headline).collect();
    let details: Vec<_> = of(Weight::Detail).collect();
    let mut html = "<h2>Findings</h2>\n".to_owned();
    if headlines.is_empty() && details.is_empty() {
        return html
            + "<p>There is nothing to compare: the specification names no baseline, or only it has results.</p>\n";
    }
    if !headlines.is_empty() {
        html += &list(&headlines);
    }
    if !details.is_empty() {
        let count = details.len();
        let _ = write!(
            html,
            "<details><summary>{count} more</summary>\n{}</details>\n",
            list(&details)
        );
    }
    html
}

fn how_made(pairing: Pairing) -> String {
    let ratios = match pairing {
        Pairing::Repetitions => {
            "A ratio to the baseline is the median of the ratios of pairs: runs of the same \
             repetition, which have the same seed and stood close to each other in time, so that \
             what changes on the host changes both."
        }
        Pairing::None => {
            "A ratio of B to A is that of the medians; the runs are no pairs, so both sides are \
             drawn anew for the interval, and what changed on the hosts between A and B is in it."
        }
    };
    format!(
        "<h2>How the numbers were made</h2>\n\
         <p>A value is the median over the runs that went well. Its interval is a percentile \
         bootstrap of {RESAMPLES} resamples with seed {SEED:#x}, widened to as many of the least \
         and the largest values as the binomial distribution asks for to hold the median of very \
         many such runs with {:.0} %. How sure an interval is depends on the number of runs and \
         stands beside it; of three to five runs it is less, and of fewer there is none.</p>\n\
         <p>{ratios} “No difference shown” means that the interval holds 1, not that there is no \
         difference. An interval that is less than {:.0} % sure gives no verdict and meets no \
         target. Of many comparisons, some show a difference by chance: at 95 %, 1 in 20. Which \
         cell is best and which is worst is chosen by the numbers that it is compared with, which \
         makes the best look better and the worst look worse than they are.</p>\n\
         <p>Runs that hung, violated a promise of their lock, timed out or failed are counted in \
         their own right; their numbers are not in the medians.</p>\n",
        LEVEL * 100.0,
        SURE_FROM * 100.0
    )
}

fn of_provenance(title: &str, fields: &[Field], study: &Study) -> String {
    let mut rows: Vec<Vec<String>> = fields
        .iter()
        .map(|field| {
            let values = escape(&provenance::values(field));
            let values = match field.1.len() {
                0 | 1 => values,
                _ => format!("<strong>{values}</strong>"),
            };
            vec![escape(field.0), values]
        })
        .collect();
    let range = |of: fn(&crate::lab::record::Provenance) -> f64| {
        let (low, high) = provenance::range(study.runs(), of)?;
        Some(format!("{} to {}", value::digits(low), value::digits(high)))
    };
    let measured = [
        (
            "a PAUSE takes",
            range(|of| of.pause_ns).map(|range| format!("{range} ns")),
        ),
        ("load before a run", range(|of| of.load_1min)),
        ("seeds", seeds(study)),
        ("started", started(study)),
    ];
    for (name, found) in measured {
        rows.push(vec![name.to_owned(), escape(&found.unwrap_or_default())]);
    }
    let html = table(
        "Where the runs ran",
        &["what".to_owned(), "value".to_owned()],
        &rows,
    );
    format!(
        "<h2>{}</h2>\n<div class=\"facts\">{html}</div>\n",
        escape(title)
    )
}

fn seeds(study: &Study) -> Option<String> {
    let seeds: std::collections::BTreeSet<_> = study.runs().map(|run| run.seed).collect();
    let shown: Vec<_> = seeds.iter().take(20).map(u64::to_string).collect();
    let more = if seeds.len() > 20 { ", …" } else { "" };
    (!shown.is_empty()).then(|| shown.join(", ") + more)
}

fn started(study: &Study) -> Option<String> {
    let first = study.runs().map(|run| run.started_unix_ms).min()?;
    let last = study.runs().map(|run| run.started_unix_ms).max()?;
    Some(format!("{} to {}", value::utc(first), value::utc(last)))
}

fn specification(title: &str, study: &Study) -> String {
    let folders: Vec<_> = study
        .folders
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    format!(
        "<h2>{}</h2>\n<p class=\"meta\">Digest {}; results from {}.</p>\n<pre>{}</pre>\n",
        escape(title),
        escape(&study.digest),
        escape(&folders.join(", ")),
        escape(&study.spec.text)
    )
}

#[cfg(test)]
#[path = "page_test.rs"]
mod tests;
