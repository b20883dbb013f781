//! What was to come out of the built-in experiments. A result that contradicts it stands.

use super::cell::Cell;
use super::findings::finding::{Met, Target};
use super::study::Study;
use crate::lab::stats::{Ratio, Verdict};

/// A bound of a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// At least so much.
    AtLeast(f64),
    /// Less than so much.
    Below(f64),
}

/// A lock's throughput at the highest overcommit against that of another cell.
struct OfLock {
    lock: &'static str,
    bound: Bound,
    text: &'static str,
}

/// Experiment that the targets of locks are for.
const OVERCOMMIT: &str = "overcommit";

/// Against the same lock without overcommit.
const COLLAPSE: [OfLock; 2] = [
    OfLock {
        lock: "ticket",
        bound: Bound::Below(0.05),
        text: "below 5 % at 8x of what it takes without overcommit",
    },
    OfLock {
        lock: "tas",
        bound: Bound::AtLeast(0.25),
        text: "at least 25 % at 8x of what it takes without overcommit",
    },
];

/// Against `ticket` at the same overcommit.
const CURE: [OfLock; 1] = [OfLock {
    lock: "pv-ticket-head",
    bound: Bound::AtLeast(10.0),
    text: "at least 10x ticket at 8x",
}];

/// The target of a handler against the worst of the others, where they differ.
pub(super) const HANDSHAKE_OVER_WORST: Bound = Bound::AtLeast(1.5);

impl Bound {
    /// Whether `ratio` keeps to it: its whole interval has to.
    pub(super) fn met_by(self, ratio: &Ratio) -> Met {
        let Some(interval) = ratio
            .interval
            .filter(|_| ratio.verdict() != Verdict::NotEnoughRuns)
        else {
            return Met::Open;
        };
        let (all, none) = match self {
            Self::AtLeast(least) => (interval.low >= least, interval.high < least),
            Self::Below(most) => (interval.high < most, interval.low >= most),
        };
        match (all, none) {
            (true, _) => Met::Yes,
            (_, true) => Met::No,
            (false, false) => Met::Open,
        }
    }
}

/// Where the targets of locks hold: vCPUs per pCPU.
const PLACES: (f64, f64) = (1.0, 8.0);

fn of_lock(table: &[OfLock], study: &Study, lock: &str, ratio: &Ratio) -> Option<Target> {
    let row = table
        .iter()
        .find(|row| study.name == OVERCOMMIT && row.lock == lock)?;
    Some(Target {
        text: row.text.to_owned(),
        met: match study.is_complete() {
            true => row.bound.met_by(ratio),
            false => Met::Open,
        },
    })
}

/// The target of `cell`'s throughput as `ratio` of that of `first`, its lock's without overcommit.
pub(super) fn of_collapse(
    study: &Study,
    cell: &Cell,
    first: &Cell,
    ratio: &Ratio,
) -> Option<Target> {
    let places = cell.overcommit().zip(first.overcommit());
    places
        .filter(|(high, low)| (*low, *high) == PLACES)
        .and_then(|_| of_lock(&COLLAPSE, study, cell.factor("lock"), ratio))
}

/// The target of `cell`'s throughput as `ratio` of that of `base` at the same overcommit.
pub(super) fn of_cure(study: &Study, cell: &Cell, base: &Cell, ratio: &Ratio) -> Option<Target> {
    let is_there = cell.overcommit() == Some(PLACES.1) && base.overcommit() == Some(PLACES.1);
    of_lock(&CURE, study, cell.factor("lock"), ratio)
        .filter(|_| is_there && base.factor("lock") == "ticket")
}

#[cfg(test)]
mod tests {
    use super::super::made::{Factors, study};
    use super::*;
    use crate::lab::stats::paired;

    #[test]
    fn a_target_is_met_by_the_whole_interval_or_open() {
        let ratio = |low: f64, high: f64| {
            let middle = f64::midpoint(low, high);
            let of = [low, low, middle, high, high].map(|value| (value, 1.0));
            paired(&of).unwrap()
        };
        let least = Bound::AtLeast(10.0);
        assert_eq!(least.met_by(&ratio(11.0, 15.0)), Met::Yes);
        assert_eq!(least.met_by(&ratio(2.0, 9.0)), Met::No);
        assert_eq!(least.met_by(&ratio(9.0, 15.0)), Met::Open);
        assert_eq!(Bound::Below(0.05).met_by(&ratio(0.01, 0.02)), Met::Yes);
        assert_eq!(Bound::Below(0.05).met_by(&ratio(0.06, 0.08)), Met::No);
        let two = paired(&[(20.0, 1.0), (20.0, 1.0)]).unwrap();
        assert_eq!(least.met_by(&two), Met::Open);
    }

    #[test]
    fn a_target_is_for_its_experiment_its_lock_and_its_places() {
        let factors: Factors<'_> = &[
            ("lock", &["ticket", "pv-ticket-head", "tas"]),
            ("pcpus", &["2"]),
            ("vcpus", &["2", "8", "16"]),
        ];
        let ratio = paired(&[(20.0, 1.0); 5]).unwrap();
        let cure = |name, number: usize, base: usize| {
            let study = study(name, factors, |_| Some(1.0));
            of_cure(&study, &study.cells[number], &study.cells[base], &ratio)
                .map(|target| target.met)
        };
        assert_eq!(cure("overcommit", 5, 2), Some(Met::Yes));
        assert_eq!(cure("overcommit", 4, 1), None, "at 4x");
        assert_eq!(cure("overcommit", 5, 8), None, "against tas");
        assert_eq!(cure("mine", 5, 2), None);
        let collapse = |number: usize, first: usize| {
            let study = study("overcommit", factors, |_| Some(1.0));
            of_collapse(&study, &study.cells[number], &study.cells[first], &ratio)
                .map(|target| target.met)
        };
        assert_eq!(collapse(8, 6), Some(Met::Yes));
        assert_eq!(collapse(2, 0), Some(Met::No));
        assert_eq!(collapse(2, 1), None, "from 4x");
        assert_eq!(collapse(1, 0), None, "at 4x");
    }

    #[test]
    fn a_target_is_open_while_runs_are_missing() {
        let factors: Factors<'_> = &[
            ("lock", &["tas"]),
            ("pcpus", &["1"]),
            ("vcpus", &["1", "8"]),
        ];
        let mut study = study("overcommit", factors, |_| Some(1.0));
        study.missing = vec![(9, 9)];
        let ratio = paired(&[(20.0, 1.0); 5]).unwrap();
        let target = of_collapse(&study, &study.cells[1], &study.cells[0], &ratio);
        assert_eq!(target.unwrap().met, Met::Open);
    }

    #[test]
    fn three_runs_meet_and_miss_nothing() {
        let three = paired(&[(20.0, 1.0); 3]).unwrap();
        assert!(three.interval.is_some());
        assert_eq!(Bound::AtLeast(10.0).met_by(&three), Met::Open);
        assert_eq!(Bound::AtLeast(30.0).met_by(&three), Met::Open);
    }
}
