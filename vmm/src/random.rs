//! Choices that a seed repeats.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        let drawn = mix(self.0);
        self.0 = self.0.wrapping_add(STEP);
        drawn
    }

    /// Below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// Up to `most`, in whole microseconds.
    pub(crate) fn duration(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.below(micros + 1))
    }
}

/// What a state of SplitMix64 grows by.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What SplitMix64 draws from `state`.
pub(crate) fn mix(state: u64) -> u64 {
    finish(state.wrapping_add(STEP))
}

/// SplitMix64's finaliser: every bit of `z` changes half of the result's.
pub(crate) fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices_and_another_does_not() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [0; 8].map(|_| random.below(1000))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn no_choice_is_out_of_bounds() {
        let mut random = Random::new(7);
        let most = Duration::from_micros(3);
        let drawn: Vec<_> = (0..100).map(|_| random.duration(most)).collect();
        assert!(drawn.iter().all(|drawn| *drawn <= most));
        assert!(drawn.contains(&most) && drawn.contains(&Duration::ZERO));
        assert_eq!(random.below(0), 0);
    }
}
