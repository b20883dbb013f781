//! What may be said of a ratio.

use super::interval::Interval;

/// What a ratio's interval allows to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More than the baseline: the interval lies above 1.
    Higher,
    /// Less than the baseline: the interval lies below 1.
    Lower,
    /// The interval holds 1. That is not "the same": more runs might show a difference.
    NoDifferenceShown,
    /// Too few runs for an interval that is sure enough.
    NotEnoughRuns,
}

/// An interval that is less sure says nothing: of three runs, that two cells which do not differ do
/// would come out one time in four.
pub const SURE_FROM: f64 = 0.9;

impl Verdict {
    /// Of a ratio's interval.
    pub(super) fn of(interval: Option<Interval>) -> Self {
        match interval.filter(|interval| interval.level >= SURE_FROM) {
            None => Self::NotEnoughRuns,
            Some(interval) if interval.low > 1.0 => Self::Higher,
            Some(interval) if interval.high < 1.0 => Self::Lower,
            Some(_) => Self::NoDifferenceShown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_that_touches_one_shows_no_difference() {
        let verdict = |low, high| {
            let level = 0.95;
            Verdict::of(Some(Interval { low, high, level }))
        };
        assert_eq!(verdict(1.0, 2.0), Verdict::NoDifferenceShown);
        assert_eq!(verdict(0.5, 1.0), Verdict::NoDifferenceShown);
        assert_eq!(verdict(1.001, 2.0), Verdict::Higher);
        assert_eq!(verdict(0.5, 0.999), Verdict::Lower);
        assert_eq!(Verdict::of(None), Verdict::NotEnoughRuns);
    }
}
