//! A line of the table: what was measured, beside what, and whether that is good enough.

use serde_json::{Value, json};

use crate::sample::Sample;

/// What a number has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At most this many times the reference.
    RatioAtMost(f64),
    /// At least this many times the reference.
    RatioAtLeast(f64),
    /// At most this, in the row's unit.
    AtMost(f64),
}

/// A measurement.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// Unit of both samples.
    pub(crate) unit: &'static str,
    /// Our runs.
    pub(crate) ours: Sample,
    /// The floor's or the peer's runs, made in turns with ours.
    pub(crate) reference: Option<(&'static str, Sample)>,
    /// What is asked of it; shown only, where nothing is.
    pub(crate) target: Option<Target>,
}

impl Row {
    /// A number without company.
    pub(crate) fn alone(name: String, unit: &'static str, ours: Sample) -> Self {
        Self {
            name,
            unit,
            ours,
            reference: None,
            target: None,
        }
    }

    /// The number beside `reference`.
    pub(crate) fn beside(mut self, name: &'static str, reference: Sample) -> Self {
        self.reference = Some((name, reference));
        self
    }

    /// What it has to be.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Median of the quotients of runs made side by side.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (_, reference) = self.reference.as_ref()?;
        Some(self.ours.over(reference).median())
    }

    /// Whether the target is met; `None` without one.
    pub(crate) fn met(&self) -> Option<bool> {
        Some(match self.target? {
            Target::RatioAtMost(most) => self.ratio()? <= most,
            Target::RatioAtLeast(least) => self.ratio()? >= least,
            Target::AtMost(most) => self.ours.median() <= most,
        })
    }

    /// The row as it goes into the file.
    pub(crate) fn json(&self) -> Value {
        let reference = self.reference.as_ref().map(|(name, sample)| {
            let mut value = sample.json();
            value["name"] = json!(name);
            value
        });
        json!({
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours.json(),
            "reference": reference,
            "ratio": self.ratio(),
            "target": self.target.map(|target| target.to_string()),
            "met": self.met(),
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RatioAtMost(most) => write!(f, "<= {most}x"),
            Self::RatioAtLeast(least) => write!(f, ">= {least}x"),
            Self::AtMost(most) => write!(f, "<= {most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, floor: f64, target: Target) -> Row {
        let sample = |value| {
            let mut sample = Sample::default();
            sample.push(value);
            sample
        };
        Row::alone("x".to_owned(), "ms", sample(ours))
            .beside("floor", sample(floor))
            .target(target)
    }

    #[test]
    fn targets_are_bounds_on_the_ratio_or_on_the_number() {
        assert_eq!(row(1.2, 1.0, Target::RatioAtMost(1.3)).met(), Some(true));
        assert_eq!(row(1.4, 1.0, Target::RatioAtMost(1.3)).met(), Some(false));
        assert_eq!(row(9.0, 1.0, Target::RatioAtLeast(10.0)).met(), Some(false));
        assert_eq!(row(1.4, 1.0, Target::AtMost(1.5)).met(), Some(true));
    }
}
