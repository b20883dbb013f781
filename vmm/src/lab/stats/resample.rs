//! Drawing with replacement.

use crate::random::Random;

/// Draws that a seed repeats.
#[derive(Clone, Debug)]
pub(super) struct Draws(Random);

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// Fills `into` with values of `from`, each drawn from all of them.
    pub(super) fn fill(&mut self, into: &mut [f64], from: &[f64]) {
        let Some(len) = u64::try_from(from.len()).ok().filter(|len| *len > 0) else {
            return;
        };
        for slot in into {
            // The high half of a product instead of a remainder: no bias worth a test here.
            let index = (u128::from(self.0.next()) * u128::from(len)) >> 64;
            if let Some(value) = usize::try_from(index).ok().and_then(|at| from.get(at)) {
                *slot = *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_drawn_about_as_often() {
        let from = [0.0, 1.0, 2.0, 3.0, 4.0];
        let mut drawn = vec![f64::NAN; 50_000];
        Draws::new(3).fill(&mut drawn, &from);
        for value in from {
            let count = drawn.iter().filter(|other| **other == value).count();
            assert!((9_500..10_500).contains(&count), "{value}: {count}");
        }
    }

    #[test]
    fn of_nothing_nothing_is_drawn() {
        let mut untouched = [7.0];
        Draws::new(1).fill(&mut untouched, &[]);
        assert_eq!(untouched, [7.0]);
    }
}
