//! How evenly vCPUs share a lock.

use serde::{Deserialize, Serialize};

/// How evenly the vCPUs shared the locks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// Jain's index of the acquisitions per vCPU: 1 is even, 1/n is one vCPU that took all.
    pub jain: f64,
    /// Acquisitions of the vCPU that took fewest.
    pub least: u64,
    /// Acquisitions of the vCPU that took most.
    pub most: u64,
}

impl Fairness {
    /// Of the acquisitions per vCPU; `None` when there were none at all.
    pub fn of(acquisitions: &[u64]) -> Option<Self> {
        Some(Self {
            jain: jain(acquisitions)?,
            least: acquisitions.iter().copied().min()?,
            most: acquisitions.iter().copied().max()?,
        })
    }
}

/// Jain's fairness index, (sum x)^2 / (n * sum x^2), between 1/n and 1; `None` where all are 0.
/// Source: Jain, Chiu, Hawe, DEC-TR-301, 1984.
pub fn jain(shares: &[u64]) -> Option<f64> {
    let sum: f64 = shares.iter().map(|&x| x as f64).sum();
    let squares: f64 = shares.iter().map(|&x| (x as f64) * (x as f64)).sum();
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_shares_are_fair_and_one_taker_is_not() {
        assert_eq!(jain(&[7, 7, 7, 7]), Some(1.0));
        assert_eq!(jain(&[0, 0, 9, 0]), Some(0.25));
        assert_eq!(jain(&[]), None);
        assert_eq!(jain(&[0, 0]), None);
    }

    proptest! {
        #[test]
        fn the_index_is_between_one_nth_and_one(
            shares in prop::collection::vec(any::<u64>(), 1..64)
        ) {
            if let Some(index) = jain(&shares) {
                prop_assert!(index <= 1.0 + 1e-9);
                prop_assert!(index >= 1.0 / shares.len() as f64 - 1e-9);
            }
        }

        #[test]
        fn scale_does_not_matter(shares in prop::collection::vec(1..1_000_000u64, 1..64)) {
            let scaled: Vec<u64> = shares.iter().map(|x| x * 1000).collect();
            let (one, other) = (jain(&shares).unwrap(), jain(&scaled).unwrap());
            prop_assert!((one - other).abs() < 1e-9);
        }
    }
}
