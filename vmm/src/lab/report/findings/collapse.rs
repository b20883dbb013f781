//! `overcommit`: what is left of each lock's throughput when vCPUs outnumber pCPUs.

use super::finding::Finding;
use super::sentence;
use crate::lab::report::layout::{self, Layout};
use crate::lab::report::metric::THROUGHPUT;
use crate::lab::report::study::Study;
use crate::lab::report::{targets, value};
use crate::lab::stats::Verdict;

/// Of every line the last point against the first.
pub(super) fn findings(study: &Study, layout: &Layout<'_>) -> Vec<Finding> {
    let others = layout.x.others(study);
    let mut findings = Vec::new();
    for (label, cells) in layout::grouped(&study.cells, &others) {
        let cells = layout::placed(&layout.x, cells);
        let (Some((low, first)), Some((high, last))) = (cells.first(), cells.last()) else {
            continue;
        };
        if low >= high {
            continue;
        }
        let (from, to) = (
            sentence::place(&layout.x, first),
            sentence::place(&layout.x, last),
        );
        let Some(left) = last.paired_with(first, THROUGHPUT) else {
            if last.good().next().is_some() && first.good().next().is_some() {
                findings.push(Finding::detail(&format!(
                    "{label}: the runs with {to} and with {from} are no pairs: they ran in other \
                     repetitions or on other hosts."
                )));
            }
            continue;
        };
        let (share, pairs) = (value::percent(left.median), sentence::pairs(&left));
        let interval = value::interval(left.interval, value::percent);
        let text = match left.verdict() {
            Verdict::Higher | Verdict::Lower => format!(
                "{label}: with {to} it takes {share} ({interval}) of the locks a second that it \
                 takes with {from}; {pairs}."
            ),
            Verdict::NoDifferenceShown => format!(
                "{label}: no difference is shown between {to} and {from}: {share} ({interval}) of \
                 the locks a second; {pairs}."
            ),
            Verdict::NotEnoughRuns => format!(
                "{label}: with {to} it takes {share} of the locks a second that it takes with \
                 {from} in {pairs}, too few to tell."
            ),
        };
        let target = targets::of_collapse(study, last, first, &left);
        let finding = match target {
            Some(_) => Finding::headline(&text),
            None => Finding::detail(&text),
        };
        findings.push(finding.with_target(target));
    }
    findings
}
