//! Every cell against its baseline.

use super::finding::{Finding, Weight};
use super::sentence;
use crate::lab::report::cell::Cell;
use crate::lab::report::layout::{self, Layout, X};
use crate::lab::report::metric::THROUGHPUT;
use crate::lab::report::study::Study;
use crate::lab::report::targets;

/// The metric that the experiment is about.
fn subject(study: &Study) -> &'static str {
    match study.name.as_str() {
        "fairness" => "fairness_jain",
        _ => THROUGHPUT,
    }
}

/// Every cell against its baseline; at the end of the x axis, a headline.
pub(super) fn findings(study: &Study, layout: &Layout<'_>) -> Vec<Finding> {
    let baseline: Vec<_> = study.baseline().keys().cloned().collect();
    let varying: Vec<_> = study
        .varying()
        .into_iter()
        .map(|(factor, _)| factor)
        .collect();
    let compared: Vec<_> = varying
        .iter()
        .filter(|factor| baseline.contains(factor))
        .cloned()
        .collect();
    let mut context = layout.x.others(study);
    context.retain(|factor| !compared.contains(factor));
    let last = layout.x.last(study);
    let subject = subject(study);
    let finding = |cell: &Cell| {
        let base = study.base_of(cell)?;
        let ratio = cell.paired_with(base, subject)?;
        let place = match &layout.x {
            // It is what is compared.
            X::Number(factor) | X::Names(factor, _) if compared.contains(factor) => String::new(),
            x => sentence::place(x, cell),
        };
        let (place, rest) = (place, layout::label(cell, &context));
        let (one, other) = (
            layout::label(cell, &compared),
            layout::label(base, &compared),
        );
        let text = sentence::at(&layout.x, &place, &rest)
            + &sentence::of_ratio(subject, &one, &other, &ratio);
        let target = targets::of_cure(study, cell, base, &ratio);
        let is_last = layout.x.place(cell) == Some(last);
        let finding = match place.is_empty() || is_last || target.is_some() {
            true => Finding::headline(&text).with_target(target),
            false => Finding::detail(&text),
        };
        Some(Told {
            among: place.is_empty().then_some(rest),
            ratio: ratio.median,
            finding,
        })
    };
    extremes(study.cells.iter().filter_map(finding).collect())
}

/// A finding among others.
struct Told {
    /// Where the x axis itself is what is compared, what else the finding is for.
    among: Option<String>,
    ratio: f64,
    finding: Finding,
}

/// Where the x axis itself is compared, only the most and the least is a headline.
fn extremes(told: Vec<Told>) -> Vec<Finding> {
    let is_beyond = |one: &Told, sign: f64| {
        let others = told.iter().filter(|other| other.among == one.among);
        others
            .map(|other| other.ratio * sign)
            .fold(f64::MIN, f64::max)
            > one.ratio * sign
    };
    let is_headline: Vec<_> = told
        .iter()
        .map(|one| one.among.is_none() || !is_beyond(one, 1.0) || !is_beyond(one, -1.0))
        .collect();
    let weigh = |(one, is_headline): (Told, bool)| match is_headline {
        true => one.finding,
        false => Finding {
            weight: Weight::Detail,
            ..one.finding
        },
    };
    told.into_iter().zip(is_headline).map(weigh).collect()
}
