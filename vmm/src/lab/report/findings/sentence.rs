//! The parts that sentences are made of.

use crate::lab::report::cell::Cell;
use crate::lab::report::layout::X;
use crate::lab::report::metric::{self, THROUGHPUT};
use crate::lab::report::value;
use crate::lab::stats::{Ratio, Verdict};

/// Where a cell stands, as in `16 vCPUs on 2 pCPUs`; empty where nothing is to be said.
pub(in crate::lab::report) fn place(x: &X, cell: &Cell) -> String {
    match x {
        X::Overcommit => match (cell.factors.get("vcpus"), cell.pcpus()) {
            (Some(vcpus), Some(pcpus)) => format!(
                "{} on {}",
                value::in_words("vcpus", vcpus),
                value::in_words("pcpus", &value::plain(pcpus))
            ),
            _ => String::new(),
        },
        X::Number(factor) | X::Names(factor, _) => value::in_words(factor, cell.factor(factor)),
        X::Nothing => String::new(),
    }
}

/// `At 16 vCPUs on 2 pCPUs, ticket: ` or `With threshold 128, ticket: `, without what is empty;
/// nothing of nothing. `place` is the cell's place on `x`.
pub(in crate::lab::report) fn at(x: &X, place: &str, rest: &str) -> String {
    let parts: Vec<_> = [place, rest]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    let word = match x {
        X::Overcommit if !place.is_empty() => "At",
        _ => "With",
    };
    format!("{word} {}: ", parts.join(", "))
}

/// A ratio with its interval, as in `12.3x (9.80x to 15.1x)`.
pub(in crate::lab::report) fn ratio(ratio: &Ratio) -> String {
    let interval = value::interval(ratio.interval, value::ratio);
    format!("{} ({interval})", value::ratio(ratio.median))
}

/// `5 pairs`.
pub(in crate::lab::report) fn pairs(ratio: &Ratio) -> String {
    counted(ratio.runs, "pair")
}

/// `1 pair`, `2 pairs`.
pub(in crate::lab::report) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// What is said behind a ratio of too few runs.
fn untold(of: &Ratio) -> &'static str {
    match of.verdict() {
        Verdict::NotEnoughRuns => ", which are too few to tell",
        _ => "",
    }
}

/// What a ratio of throughputs says of `one` against `other`.
pub(in crate::lab::report) fn throughput(one: &str, other: &str, of: &Ratio) -> String {
    let (ratio, pairs) = (ratio(of), pairs(of));
    if of.median.is_infinite() {
        return format!(
            "{other} takes no lock at all in most of {pairs}, and {one} does{}.",
            untold(of)
        );
    }
    match of.verdict() {
        Verdict::Higher | Verdict::Lower => {
            format!("{one} takes {ratio} as many locks a second as {other}; {pairs}.")
        }
        Verdict::NoDifferenceShown => {
            format!("no difference is shown between {one} and {other}: {ratio}; {pairs}.")
        }
        Verdict::NotEnoughRuns => format!(
            "{one} takes {} as many locks a second as {other} in {pairs}, too few to tell.",
            value::ratio(of.median)
        ),
    }
}

/// What a ratio of any metric says of `one` against `other`.
pub(in crate::lab::report) fn of_ratio(metric: &str, one: &str, other: &str, of: &Ratio) -> String {
    if metric == THROUGHPUT {
        return throughput(one, other, of);
    }
    let (title, pairs) = (metric::title(metric), pairs(of));
    if of.median.is_infinite() {
        return format!(
            "{title}: that of {other} is 0 in most of {pairs}, and that of {one} is not{}.",
            untold(of)
        );
    }
    match of.verdict() {
        Verdict::Higher | Verdict::Lower => {
            format!("{title}: {one} has {} that of {other}; {pairs}.", ratio(of))
        }
        Verdict::NoDifferenceShown => format!(
            "{title}: no difference is shown between {one} and {other}: {}; {pairs}.",
            ratio(of)
        ),
        Verdict::NotEnoughRuns => format!(
            "{title}: {one} has {} that of {other} in {pairs}, too few to tell.",
            value::ratio(of.median)
        ),
    }
}

/// A sentence with a capital letter where it begins with a word of ours; names of locks and
/// handlers stay as they are.
pub(in crate::lab::report) fn sentence(text: &str) -> String {
    for (small, capital) in [("no difference", "No difference"), ("with a", "With a")] {
        if let Some(rest) = text.strip_prefix(small) {
            return format!("{capital}{rest}");
        }
    }
    text.to_owned()
}
