//! How long hand-overs took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets: eight an octave, up to 2^40 ns.
const BUCKETS: usize = 8 * 38;

/// Times of the hand-overs to one vCPU: from the decision to its thread's going on. Relaxed: they
/// order nothing.
#[derive(Debug)]
pub(super) struct HandOvers {
    buckets: Box<[AtomicU64]>,
}

impl Default for HandOvers {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

/// Values below 8 have a bucket each; above, an octave has eight.
fn bucket(ns: u64) -> usize {
    let value = ns.max(8);
    let octave = value.ilog2() - 3;
    let eighth = value >> octave & 7;
    let index = u64::from(octave) * 8 + eighth;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The greatest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let octave = bucket / 8;
    let eighth = u64::try_from(bucket % 8).unwrap_or(0);
    ((8 + eighth + 1) << octave) - 1
}

impl HandOvers {
    pub(super) fn note(&self, ns: u64) {
        if let Some(count) = self.buckets.get(bucket(ns)) {
            count.fetch_add(1, Relaxed);
        }
    }
}

/// The times of all vCPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HandOverTimes(Vec<u64>);

impl HandOverTimes {
    pub(super) fn of<'a>(all: impl Iterator<Item = &'a HandOvers>) -> Self {
        let mut sums = vec![0; BUCKETS];
        for one in all {
            for (sum, count) in sums.iter_mut().zip(&one.buckets) {
                *sum += count.load(Relaxed);
            }
        }
        Self(sums)
    }

    /// The time that `share` of the hand-overs (0 to 1) did not exceed, at most an eighth too long;
    /// `None` without any.
    pub(super) fn percentile_ns(&self, share: f64) -> Option<u64> {
        let total: u64 = self.0.iter().sum();
        if total == 0 {
            return None;
        }
        let wanted = total as f64 * share;
        let mut seen = 0;
        let found = self.0.iter().position(|count| {
            seen += count;
            seen as f64 >= wanted && seen > 0
        });
        found.map(upper)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_at_most_an_eighth_less_than_its_end() {
        for ns in [8, 9, 15, 16, 1000, 123_456, 1 << 39] {
            let end = upper(bucket(ns));
            assert!(ns <= end && end - ns <= ns / 8, "{ns} {end}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_of_all_vcpus() {
        let all = [HandOvers::default(), HandOvers::default()];
        for ns in 0..99 {
            all[0].note(1000 + ns / 99);
        }
        all[1].note(1_000_000);
        let times = HandOverTimes::of(all.iter());
        assert_eq!(times.percentile_ns(0.5), Some(upper(bucket(1000))));
        assert_eq!(times.percentile_ns(0.99), Some(upper(bucket(1000))));
        assert_eq!(times.percentile_ns(1.0), Some(upper(bucket(1_000_000))));
        assert_eq!(HandOverTimes::of([].iter()).percentile_ns(0.5), None);
    }
}
