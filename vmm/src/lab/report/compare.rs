//! Two experiments that did the same: two builds, two hosts, or one twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::cell::Cell;
use super::error::ReportError;
use super::findings::finding::{Finding, Met, Target, UNLIKELY, Weight};
use super::findings::{sentence, wrong};
use super::folder::Folder;
use super::layout::{self, Layout};
use super::metric::{self, THROUGHPUT};
use super::provenance;
use super::study::{Study, join};
use crate::lab::stats::{LEVEL, Ratio, Verdict, tail};

/// Two experiments that did the same.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The first: what the other is compared with.
    pub a: Study,
    /// The second.
    pub b: Study,
}

/// Puts two folders beside each other.
///
/// # Errors
/// They varied different factors, or gave them different values.
pub fn compare(a: Folder, b: Folder) -> Result<Comparison, ReportError> {
    let (a, b) = (join(vec![a])?, join(vec![b])?);
    // One specification: what is missing has not run yet.
    if a.digest != b.digest
        && let Some(why) = difference(&a, &b)
    {
        let path = |study: &Study| study.folders.first().cloned().unwrap_or_default();
        return Err(ReportError::NotComparable {
            one: path(&a),
            other: path(&b),
            why: super::html::printable(&why),
        });
    }
    Ok(Comparison { a, b })
}

/// The first factor in which two experiments differ, in words.
fn difference(a: &Study, b: &Study) -> Option<String> {
    type Factors<'a> = BTreeMap<&'a String, BTreeSet<&'a String>>;
    fn factors(study: &Study) -> Factors<'_> {
        let mut factors = Factors::new();
        for (factor, value) in study.cells.iter().flat_map(|cell| &cell.factors) {
            factors.entry(factor).or_default().insert(value);
        }
        factors
    }
    let (a, b) = (factors(a), factors(b));
    let mut names: BTreeSet<_> = a.keys().chain(b.keys()).copied().collect();
    names.retain(|name| a.get(*name) != b.get(*name));
    let name = names.into_iter().next()?;
    Some(match (a.get(name), b.get(name)) {
        (Some(a), Some(b)) => {
            let only = a.symmetric_difference(b).next()?;
            let side = if a.contains(only) { "first" } else { "second" };
            format!("`{name} = {only}` is in the {side} only")
        }
        (Some(_), None) => format!("the factor `{name}` is in the first only"),
        _ => format!("the factor `{name}` is in the second only"),
    })
}

impl Comparison {
    /// The folder of `study`, as a reader names it.
    fn folder(study: &Study) -> String {
        let paths = study.folders.iter().map(PathBuf::as_path);
        paths
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Names of both.
    pub(super) fn names(&self) -> [String; 2] {
        [Self::folder(&self.a), Self::folder(&self.b)]
    }

    /// What else the specifications say differently, with the values of both.
    pub(super) fn settings(&self) -> Vec<(&'static str, String, String)> {
        let settings = |study: &Study| {
            let spec = &study.spec;
            [
                ("seconds", spec.seconds.clone()),
                ("repetitions", spec.repetitions.to_string()),
                ("seed", spec.seed.clone()),
                ("timeout", spec.timeout.clone()),
            ]
        };
        let both = settings(&self.a).into_iter().zip(settings(&self.b));
        both.filter(|(a, b)| a.1 != b.1)
            .map(|((name, a), (_, b))| (name, a, b))
            .collect()
    }

    /// Cells that both have, the first's before the second's.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&Cell, &Cell)> {
        self.a
            .cells
            .iter()
            .filter_map(|cell| Some((cell, self.b.cell(&cell.factors)?)))
    }

    /// Metrics that both have and of which one way is better.
    pub(super) fn metrics(&self) -> Vec<String> {
        let of_b = self.b.metrics();
        let is_judged = |name: &String| {
            metric::known(name).is_none_or(|metric| metric.better != metric::Better::Neither)
        };
        let both = self
            .a
            .metrics()
            .into_iter()
            .filter(|metric| of_b.contains(metric));
        both.filter(is_judged).collect()
    }

    /// Fields of the provenance in which they differ, with the values of both.
    pub(super) fn differing(&self) -> Vec<(&'static str, String, String)> {
        let fields = |study: &Study| provenance::over(study.runs());
        fields(&self.a)
            .iter()
            .zip(&fields(&self.b))
            .filter(|(a, b)| a.1.keys().ne(b.1.keys()))
            .map(|(a, b)| (a.0, provenance::values(a), provenance::values(b)))
            .collect()
    }

    /// What the comparison says.
    pub(super) fn findings(&self, layout: &Layout<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut ratios = Vec::new();
        let others = layout.x.others(&self.a);
        for (a, b) in self.cells() {
            let Some(ratio) = b.against(a, THROUGHPUT) else {
                continue;
            };
            ratios.push(ratio);
            let (place, rest) = (sentence::place(&layout.x, a), layout::label(a, &others));
            let runs = format!(
                "{} and {} runs",
                a.values(THROUGHPUT).len(),
                b.values(THROUGHPUT).len()
            );
            let text = match ratio.verdict() {
                Verdict::Higher | Verdict::Lower => format!(
                    "B takes {} as many locks a second as A; {runs}.",
                    sentence::ratio(&ratio)
                ),
                Verdict::NoDifferenceShown => {
                    format!(
                        "no difference is shown: {}; {runs}.",
                        sentence::ratio(&ratio)
                    )
                }
                Verdict::NotEnoughRuns => format!("not enough runs: {runs}."),
            };
            let text = sentence::at(&layout.x, &place, &rest) + &text;
            findings.push(match ratio.verdict() {
                Verdict::Higher | Verdict::Lower => Finding::headline(&text),
                Verdict::NoDifferenceShown | Verdict::NotEnoughRuns => Finding::detail(&text),
            });
        }
        for (letter, study) in [("A", &self.a), ("B", &self.b)] {
            findings.extend(wrong::findings(study, layout).into_iter().map(|finding| {
                let text = format!("{letter}: {}", finding.text);
                Finding { text, ..finding }
            }));
        }
        findings.insert(0, self.agreement(&ratios));
        findings.sort_by_key(|finding| finding.weight == Weight::Detail);
        findings
    }

    /// Combinations of which at least one side has no number.
    fn lost(&self, told: usize) -> usize {
        let of_a = self.a.cells.iter().map(|cell| &cell.factors);
        let of_b = self.b.cells.iter().map(|cell| &cell.factors);
        of_a.chain(of_b).collect::<BTreeSet<_>>().len() - told
    }

    fn agreement(&self, ratios: &[Ratio]) -> Finding {
        let count = |wanted| {
            let verdicts = ratios.iter().map(Ratio::verdict);
            verdicts.filter(|verdict| *verdict == wanted).count()
        };
        let (more, less) = (count(Verdict::Higher), count(Verdict::Lower));
        let unknown = count(Verdict::NotEnoughRuns);
        let known = ratios.len() - unknown;
        let sure = ratios
            .iter()
            .filter(|ratio| ratio.verdict() != Verdict::NotEnoughRuns)
            .filter_map(|ratio| Some(ratio.interval?.level));
        let chance = 1.0 - sure.fold(LEVEL, f64::min);
        let lost = self.lost(ratios.len());
        let not_told = match lost {
            0 => String::new(),
            lost => {
                format!(" Nothing can be said of {lost} more, which one of them has no number of.")
            }
        };
        let text = format!(
            "Of {} combinations that both have, B takes more locks a second in {more}, fewer in \
             {less}, and in {} no difference is shown; {unknown} have not enough runs.{not_told} Of \
             combinations that do not differ, about 1 in {:.0} is shown to all the same.",
            ratios.len(),
            count(Verdict::NoDifferenceShown),
            1.0 / chance,
        );
        let is_whole = unknown + lost == 0 && self.a.is_complete() && self.b.is_complete();
        let met = match more + less {
            0 if is_whole && known > 0 => Met::Yes,
            differing if differing > 0 && tail(known, differing, chance) < UNLIKELY => Met::No,
            _ => Met::Open,
        };
        let mut finding = Finding::headline(&text);
        // Of other builds and hosts nobody said that they agree.
        finding.target = self.differing().is_empty().then(|| Target {
            text: "where A and B are the same build on the same host, the medians agree within \
                   their intervals"
                .to_owned(),
            met,
        });
        finding
    }
}

#[cfg(test)]
#[path = "compare_test.rs"]
mod tests;
