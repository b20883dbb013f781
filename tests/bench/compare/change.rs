//! How one measurement has changed, and what may be said of that.

use serde_json::{Value, json};
use vmm::lab::stats::{Ratio, Verdict, median, paired, unpaired};

use super::probes::Number;
use crate::table::number;

/// One measurement of both sides.
#[derive(Clone, Debug)]
pub(super) struct Change {
    name: String,
    unit: String,
    old: Vec<f64>,
    new: Vec<f64>,
    runs: Runs,
}

/// How the runs of both sides belong together.
#[derive(Clone, Copy, Debug)]
enum Runs {
    /// The n-th of one was made beside the n-th of the other.
    Paired,
    /// They were made at different times.
    Apart,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Better,
    Worse,
    NoneShown,
    TooFewRuns,
}

impl Meaning {
    fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::NoneShown => "no difference shown",
            Self::TooFewRuns => "too few runs",
        }
    }
}

impl Change {
    /// A measurement that has no runs yet.
    pub(super) fn of(number: &Number) -> Self {
        Self {
            name: number.name.clone(),
            unit: number.unit.to_owned(),
            old: Vec::new(),
            new: Vec::new(),
            runs: Runs::Paired,
        }
    }

    /// A measurement whose sides were not measured together.
    pub(super) fn apart(name: String, unit: String, old: Vec<f64>, new: Vec<f64>) -> Self {
        Self {
            name,
            unit,
            old,
            new,
            runs: Runs::Apart,
        }
    }

    /// One more run of each side.
    pub(super) fn push(&mut self, old: f64, new: f64) {
        self.old.push(old);
        self.new.push(new);
    }

    fn ratio(&self) -> Option<Ratio> {
        match self.runs {
            Runs::Paired => {
                let pairs: Vec<_> = self.new.iter().copied().zip(self.old.clone()).collect();
                paired(&pairs)
            }
            Runs::Apart => unpaired(&self.new, &self.old),
        }
    }

    fn meaning(&self) -> Meaning {
        // A rate is good when it is high, anything else when it is low.
        let more_is_better = self.unit.ends_with("/s");
        match self.ratio().map(|ratio| ratio.verdict()) {
            None | Some(Verdict::NotEnoughRuns) => Meaning::TooFewRuns,
            Some(Verdict::NoDifferenceShown) => Meaning::NoneShown,
            Some(Verdict::Higher) if more_is_better => Meaning::Better,
            Some(Verdict::Lower) if !more_is_better => Meaning::Better,
            Some(Verdict::Higher | Verdict::Lower) => Meaning::Worse,
        }
    }

    /// Prints its line.
    pub(super) fn show(&self) {
        let middle = |runs: &[f64]| median(runs).map_or_else(String::new, number);
        let ratio = self.ratio();
        let times = ratio.map_or_else(String::new, |ratio| format!("{:.3}x", ratio.median));
        let interval = ratio
            .and_then(|ratio| ratio.interval)
            .map_or_else(String::new, |interval| {
                format!("{:.3} to {:.3}", interval.low, interval.high)
            });
        println!(
            "{:<44} {:>10} {:>10} {:<6} {:>8}  {:<16} {}",
            self.name,
            middle(&self.old),
            middle(&self.new),
            self.unit,
            times,
            interval,
            self.meaning().words()
        );
    }

    /// As it goes into the file.
    pub(super) fn json(&self) -> Value {
        let ratio = self.ratio();
        let interval = ratio.and_then(|ratio| ratio.interval);
        json!({
            "name": self.name,
            "unit": self.unit,
            "old": self.old,
            "new": self.new,
            "ratio": ratio.map(|ratio| ratio.median),
            "interval": interval.map(|interval| [interval.low, interval.high]),
            "level": interval.map(|interval| interval.level),
            "meaning": self.meaning().words(),
        })
    }
}

/// Prints the headings.
pub(super) fn head() {
    println!(
        "{:<44} {:>10} {:>10} {:<6} {:>8}  {:<16} change",
        "measurement", "old", "new", "", "new/old", "interval (95 %)"
    );
}

/// Prints how many of each there are. One of twenty equal ones differs by chance.
pub(super) fn sum_up(changes: &[Change]) {
    let count = |meaning| {
        let same = changes.iter().filter(|change| change.meaning() == meaning);
        same.count()
    };
    println!(
        "\n{} better, {} worse, {} without a difference shown, of {}; of 20 that are equal one differs by chance",
        count(Meaning::Better),
        count(Meaning::Worse),
        count(Meaning::NoneShown),
        changes.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(unit: &'static str, old: f64, new: f64) -> Change {
        let mut change = Change::of(&Number::new("x", unit, 0.0));
        (0..7).for_each(|_| change.push(old, new));
        change
    }

    #[test]
    fn less_time_and_more_of_a_rate_are_better() {
        assert_eq!(change("ms", 2.0, 1.0).meaning(), Meaning::Better);
        assert_eq!(change("ms", 1.0, 2.0).meaning(), Meaning::Worse);
        assert_eq!(change("k/s", 1.0, 2.0).meaning(), Meaning::Better);
        assert_eq!(change("k/s", 2.0, 1.0).meaning(), Meaning::Worse);
        assert_eq!(change("ms", 1.0, 1.0).meaning(), Meaning::NoneShown);
    }

    #[test]
    fn what_disturbs_both_sides_hides_no_change() {
        let mut change = Change::of(&Number::new("x", "ms", 0.0));
        for load in [1.0, 9.0, 2.0, 30.0, 1.0, 4.0, 7.0] {
            change.push(load, load * 1.1);
        }
        assert_eq!(change.meaning(), Meaning::Worse);
        change.runs = Runs::Apart;
        assert_eq!(change.meaning(), Meaning::NoneShown);
    }
}
