//! `ple`: what the handlers of spin exits do to each other's and to no PLE's throughput.

use guest_payload::lock::LockKind;

use super::finding::{Finding, Met, Target, UNLIKELY};
use super::sentence;
use crate::lab::report::cell::Cell;
use crate::lab::report::layout::{self, Layout};
use crate::lab::report::metric::THROUGHPUT;
use crate::lab::report::study::Study;
use crate::lab::report::targets::HANDSHAKE_OVER_WORST;
use crate::lab::report::value;
use crate::lab::stats::{Ratio, Verdict, tail};

const HANDLER: &str = "on-spin";
const OURS: &str = "handshake";
const DOES_NOTHING: &str = "none";

/// The interference, and our handler against the others.
pub(super) fn findings(study: &Study, layout: &Layout<'_>) -> Vec<Finding> {
    let view = View { study, layout };
    let mut findings: Vec<_> = view.interference().into_iter().collect();
    findings.extend(view.handshake());
    findings
}

struct View<'a> {
    study: &'a Study,
    layout: &'a Layout<'a>,
}

/// Our handler in one place.
struct Place<'a> {
    cell: &'a Cell,
    best: &'a Cell,
    worst: &'a Cell,
    over_best: Ratio,
    over_worst: Ratio,
}

/// Whether the cell's lock has a slow path and may use it.
fn is_pv(cell: &Cell) -> bool {
    let lock = LockKind::from_name(cell.factor("lock"));
    lock.is_some_and(LockKind::is_pv) && cell.factor("nopvspin") != "true"
}

/// Whether the cell's handler is one of KVM's history.
fn is_historical(cell: &Cell) -> bool {
    !matches!(cell.factor(HANDLER), OURS | DOES_NOTHING | "–")
}

fn throughput(cell: &Cell) -> Option<f64> {
    Some(cell.summary(THROUGHPUT)?.median)
}

impl<'a> View<'a> {
    /// `16 vCPUs on 2 pCPUs, pv-ticket-head`: all but the handler.
    fn place(&self, cell: &Cell) -> (String, String) {
        let mut others = self.layout.x.others(self.study);
        others.retain(|factor| factor != HANDLER && factor != "ple");
        (
            sentence::place(&self.layout.x, cell),
            layout::label(cell, &others),
        )
    }

    /// The PV lock that a historical handler makes slowest against no PLE.
    fn interference(&self) -> Option<Finding> {
        let cells = self.study.cells.iter();
        let compared: Vec<_> = cells
            .filter(|cell| is_pv(cell) && is_historical(cell))
            .filter_map(|cell| {
                let base = self.study.base_of(cell)?;
                Some((cell.paired_with(base, THROUGHPUT)?, cell))
            })
            .collect();
        if compared.is_empty() {
            return None;
        }
        let known = compared
            .iter()
            .filter(|(ratio, _)| ratio.verdict() != Verdict::NotEnoughRuns);
        let known: Vec<_> = known.collect();
        let slower: Vec<_> = known
            .iter()
            .filter(|(ratio, _)| ratio.verdict() == Verdict::Lower)
            .collect();
        // Half of what an interval misses lies below it.
        let chance = known
            .iter()
            .filter_map(|(ratio, _)| Some((1.0 - ratio.interval?.level) / 2.0))
            .fold(0.0, f64::max);
        let worst = slower
            .iter()
            .min_by(|one, other| one.0.median.total_cmp(&other.0.median));
        let count = known.len();
        let text = match worst {
            _ if known.is_empty() => format!(
                "The interference: not enough runs in all {} combinations of a PV lock and a \
                 handler of KVM's history.",
                compared.len()
            ),
            Some((ratio, cell)) => format!(
                "The interference: {} of {count} combinations of a PV lock and a handler of \
                 KVM's history are slower than without PLE; by chance alone it would be about {}. \
                 The worst: {}{} takes {} as many locks a second; {}.",
                slower.len(),
                value::digits(chance * count as f64),
                {
                    let (place, rest) = self.place(cell);
                    sentence::at(&self.layout.x, &place, &rest)
                },
                cell.factor(HANDLER),
                sentence::ratio(ratio),
                sentence::pairs(ratio),
            ),
            None => format!(
                "The interference: none of {count} combinations of a PV lock and a handler of \
                 KVM's history is shown to be slower than without PLE."
            ),
        };
        let met = match slower.len() {
            _ if known.is_empty() => Met::Open,
            0 if known.len() < compared.len() || !self.study.is_complete() => Met::Open,
            0 => Met::No,
            slower if tail(count, slower, chance) < UNLIKELY => Met::Yes,
            _ => Met::Open,
        };
        let target = Target {
            text: "more such combinations are slower than without PLE than chance explains"
                .to_owned(),
            met,
        };
        Some(Finding::headline(&text).with_target(Some(target)))
    }

    /// Where our handler stands between the best and the worst of the others.
    fn handshake(&self) -> Vec<Finding> {
        let ours = self
            .study
            .cells
            .iter()
            .filter(|cell| cell.factor(HANDLER) == OURS);
        let mut places = Places {
            known: Vec::new(),
            lost: 0,
            unknown: 0,
            is_complete: self.study.is_complete(),
        };
        for cell in ours {
            match self.among_others(cell) {
                _ if cell.all_went_wrong() => places.lost += 1,
                Some(place) => places.known.push(place),
                None => places.unknown += 1,
            }
        }
        if places.count() == 0 {
            return Vec::new();
        }
        let mut findings = vec![against_best(&places), against_worst(&places)];
        for place in &places.known {
            let (at, rest) = self.place(place.cell);
            let (best, worst) = (place.best.factor(HANDLER), place.worst.factor(HANDLER));
            let best = format!("{best}, the best of the other handlers");
            let worst = format!("{worst}, the worst");
            let text = format!(
                "{}{} {}",
                sentence::at(&self.layout.x, &at, &rest),
                sentence::throughput(OURS, &best, &place.over_best),
                sentence::sentence(&sentence::throughput(OURS, &worst, &place.over_worst)),
            );
            findings.push(Finding::detail(&text));
        }
        findings
    }

    fn among_others(&self, cell: &'a Cell) -> Option<Place<'a>> {
        let is_elsewhere = |other: &&Cell| {
            let same = |(factor, value): (&String, &String)| {
                factor == HANDLER || other.factor(factor) == value
            };
            other.factors != cell.factors && cell.factors.iter().all(same)
        };
        let mut others: Vec<_> = self
            .study
            .cells
            .iter()
            .filter(is_elsewhere)
            .filter_map(|other| Some((throughput(other)?, other)))
            .collect();
        others.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (worst, best) = (others.first()?.1, others.last()?.1);
        Some(Place {
            over_best: cell.paired_with(best, THROUGHPUT)?,
            over_worst: cell.paired_with(worst, THROUGHPUT)?,
            cell,
            best,
            worst,
        })
    }
}

/// One of the ratios of a place.
type Against = for<'a, 'b> fn(&'a Place<'b>) -> &'a Ratio;

/// Our handler in all places.
struct Places<'a> {
    /// Where it has others beside it.
    known: Vec<Place<'a>>,
    /// In how many all its runs went wrong.
    lost: usize,
    /// In how many there is nothing to compare it with.
    unknown: usize,
    /// Whether no run is missing.
    is_complete: bool,
}

impl Places<'_> {
    fn count(&self) -> usize {
        self.known.len() + self.lost + self.unknown
    }

    /// How many of the ratios that `of` picks have the verdict `wanted`.
    fn with(&self, wanted: Verdict, of: Against) -> usize {
        let verdicts = self.known.iter().map(|place| of(place).verdict());
        verdicts.filter(|verdict| *verdict == wanted).count()
    }

    /// Where nothing can be said of the ratios that `of` picks.
    fn untold(&self, of: Against) -> usize {
        self.unknown + self.with(Verdict::NotEnoughRuns, of)
    }

    /// What is to be said of places that have no verdict; empty where all have one.
    fn rest(&self, of: Against) -> String {
        let mut text = String::new();
        let untold = self.untold(of);
        if untold > 0 {
            text += &format!(", and not enough runs in {untold}");
        }
        if self.lost > 0 {
            text += &format!(", and all its runs went wrong in {}", self.lost);
        }
        text
    }
}

fn against_best(places: &Places<'_>) -> Finding {
    let of: Against = |place| &place.over_best;
    let slower = places.with(Verdict::Lower, of);
    let text = format!(
        "Handshake against the best of the other handlers: faster in {} of {} places, no difference \
         shown in {}, slower in {slower}{}.",
        places.with(Verdict::Higher, of),
        places.count(),
        places.with(Verdict::NoDifferenceShown, of),
        places.rest(of),
    );
    let target = Target {
        text: "never slower than the best of the others beyond its interval".to_owned(),
        met: match slower + places.lost {
            0 if places.untold(of) == 0 && places.is_complete => Met::Yes,
            0 => Met::Open,
            _ => Met::No,
        },
    };
    Finding::headline(&text).with_target(Some(target))
}

fn against_worst(places: &Places<'_>) -> Finding {
    let of: Against = |place| &place.over_worst;
    let differs =
        |place: &&Place<'_>| matches!(place.over_worst.verdict(), Verdict::Higher | Verdict::Lower);
    let differing: Vec<_> = places.known.iter().filter(differs).collect();
    let met: Vec<_> = differing
        .iter()
        .map(|place| HANDSHAKE_OVER_WORST.met_by(&place.over_worst))
        .collect();
    let ratios = differing.iter().map(|place| place.over_worst.median);
    let (least, most) = (
        ratios.clone().fold(f64::MAX, f64::min),
        ratios.fold(f64::MIN, f64::max),
    );
    let told = places.count() - places.untold(of) - places.lost;
    let text = match differing.len() {
        0 if told == 0 => "nothing can be said of any place".to_owned(),
        0 => format!(
            "no difference is shown in {told} of {} places",
            places.count()
        ),
        count => format!(
            "they differ in {count} of {} places, where it takes {} to {} as many locks a second",
            places.count(),
            value::ratio(least),
            value::ratio(most),
        ),
    };
    let text = format!(
        "Handshake against the worst of the other handlers: {text}{}.",
        places.rest(of)
    );
    let is_missed = places.lost > 0 || met.contains(&Met::No);
    let is_open =
        met.is_empty() || met.contains(&Met::Open) || places.untold(of) > 0 || !places.is_complete;
    let target = Target {
        text: "at least 1.5x the worst where they differ".to_owned(),
        met: match (is_missed, is_open) {
            (true, _) => Met::No,
            (false, true) => Met::Open,
            (false, false) => Met::Yes,
        },
    };
    Finding::headline(&text).with_target(Some(target))
}
