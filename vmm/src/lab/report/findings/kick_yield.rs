//! `kick-yield`: the disputed question. What a kick that also yields brings to all, and what it
//! costs its sender, side by side.

use super::finding::Finding;
use super::sentence;
use crate::lab::report::cell::Cell;
use crate::lab::report::layout::{self, Layout};
use crate::lab::report::metric::{self, THROUGHPUT};
use crate::lab::report::study::Study;
use crate::lab::report::value;
use crate::lab::stats::Verdict;

const FACTOR: &str = "kick-yield";
const KICK: &str = "kick_p50_ns";

/// Every combination with the yield against the same one without.
pub(super) fn findings(study: &Study, layout: &Layout<'_>) -> Vec<Finding> {
    let last = layout.x.last(study);
    let mut others = layout.x.others(study);
    others.retain(|factor| factor != FACTOR);
    let with = study
        .cells
        .iter()
        .filter(|cell| cell.factor(FACTOR) == "on");
    with.filter_map(|on| {
        let mut factors = on.factors.clone();
        factors.insert(FACTOR.to_owned(), "off".to_owned());
        let off = study.cell(&factors)?;
        let (place, rest) = (sentence::place(&layout.x, on), layout::label(on, &others));
        let text = sentence::at(&layout.x, &place, &rest) + &both(on, off)?;
        let is_last = layout.x.place(on) == Some(last);
        Some(if is_last {
            Finding::headline(&text)
        } else {
            Finding::detail(&text)
        })
    })
    .collect()
}

fn both(on: &Cell, off: &Cell) -> Option<String> {
    let throughput = on.paired_with(off, THROUGHPUT)?;
    let gain = match throughput.verdict() {
        Verdict::NoDifferenceShown => format!(
            "with a yield in the kick no difference is shown in locks a second: {}",
            sentence::ratio(&throughput)
        ),
        Verdict::NotEnoughRuns => format!(
            "with a yield in the kick the locks are taken {} as often, of too few pairs to tell",
            value::ratio(throughput.median)
        ),
        Verdict::Higher | Verdict::Lower => format!(
            "with a yield in the kick the locks are taken {} as often",
            sentence::ratio(&throughput)
        ),
    };
    let written = |cell: &Cell| {
        let median = cell
            .summary(KICK)
            .map(|summary| metric::write(KICK, summary.median));
        median.unwrap_or_else(|| "unknown".to_owned())
    };
    let cost = match on.paired_with(off, KICK) {
        Some(kick) => {
            let said = match kick.verdict() {
                Verdict::Higher | Verdict::Lower => {
                    format!("a kick takes its sender {} as long", sentence::ratio(&kick))
                }
                Verdict::NoDifferenceShown => format!(
                    "no difference is shown in how long a kick takes its sender: {}",
                    sentence::ratio(&kick)
                ),
                Verdict::NotEnoughRuns => format!(
                    "a kick takes its sender {} as long, of too few pairs to tell",
                    value::ratio(kick.median)
                ),
            };
            format!(
                "{said} ({} without, {} with; medians; {})",
                written(off),
                written(on),
                sentence::pairs(&kick)
            )
        }
        None => "how long a kick takes its sender was not measured".to_owned(),
    };
    let pairs = sentence::pairs(&throughput);
    Some(format!("{gain}; {pairs}; and {cost}."))
}
