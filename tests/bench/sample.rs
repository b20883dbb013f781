//! Many runs as one number.

use serde_json::{Value, json};

/// One measurement's runs, in the order they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// Adds a run.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// No run at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A sample of one number.
    pub(crate) fn of(value: f64) -> Self {
        Self(vec![value])
    }

    /// The value that half of the runs do not exceed.
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// The runs divided by those of `other` that were made beside them. What disturbs the host
    /// for a while disturbs both, so this is steadier than the quotient of two medians.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// The value that so many percent of the runs do not exceed; between two runs, the line
    /// between them.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return f64::NAN;
        };
        let at = last * percent;
        let (low, high) = (sorted[at / 100], sorted[at.div_ceil(100)]);
        low + (high - low) * ((at % 100) as f64 / 100.0)
    }

    /// Median, quartiles and the runs themselves.
    pub(crate) fn json(&self) -> Value {
        json!({
            "median": self.median(),
            "p25": self.percentile(25),
            "p75": self.percentile(75),
            "runs": self.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_runs_lies_between_the_middle_two() {
        let sample = Sample(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!(sample.median(), 2.5);
        assert_eq!(sample.percentile(25), 1.75);
    }

    #[test]
    fn a_disturbance_that_hits_both_leaves_the_quotient() {
        let ours = Sample(vec![2.0, 20.0, 2.0]);
        let floor = Sample(vec![1.0, 10.0, 1.0]);
        assert_eq!(ours.over(&floor).0, [2.0, 2.0, 2.0]);
    }
}
