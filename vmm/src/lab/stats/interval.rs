//! Where a median may well lie.

/// What an interval is to cover.
pub const LEVEL: f64 = 0.95;

/// Where a median may well lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How likely such an interval holds the median of what the values come from: at least
    /// [`LEVEL`] from six values on, and of fewer what their whole range holds.
    pub level: f64,
}

impl Interval {
    /// Whether `value` is in it.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Wide enough to hold `other` as well.
    pub(super) fn widened(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            level: other.level,
        }
    }

    /// The middle [`LEVEL`] of `medians`, with `level` for what it covers.
    pub(super) fn of_medians(medians: &mut [f64], level: f64) -> Option<Self> {
        medians.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - LEVEL) / 2.0;
        Some(Self {
            low: at(medians, tail)?,
            high: at(medians, 1.0 - tail)?,
            level,
        })
    }
}

/// The value below which a share of `sorted` lies.
fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let index = (share * last as f64).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a length"
    )]
    sorted.get(index as usize).copied()
}
