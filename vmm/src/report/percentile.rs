//! Percentiles of waits and kicks, from the results page's log-linear histograms.

use guest_payload::abi::WAIT_BUCKETS;
use guest_payload::stats::bucket_bounds;
use serde::{Deserialize, Serialize};

/// Waits for a lock in ns, from the first look at it to its acquisition.
///
/// A percentile is the upper end of its bucket (within 1/8 of the true value and never below it),
/// and never above `max`, which is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitNs {
    /// Half of the waits are no longer.
    pub p50: u64,
    /// 99 % of the waits are no longer.
    pub p99: u64,
    /// 99.9 % of the waits are no longer.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

/// What kicks took their sender, in ns. Percentiles as in [`WaitNs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KickNs {
    /// Half of the kicks took no longer.
    pub kick_p50_ns: u64,
    /// 99 % of the kicks took no longer.
    pub kick_p99_ns: u64,
    /// The longest.
    pub kick_max_ns: u64,
}

/// The waits, or the kicks, of many CPUs, in TSC cycles.
#[derive(Clone, Debug)]
pub struct CycleHistogram {
    buckets: Box<[u64]>,
    max: u64,
}

impl Default for CycleHistogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; WAIT_BUCKETS].into(),
            max: 0,
        }
    }
}

impl CycleHistogram {
    /// Adds one CPU's buckets and its longest.
    pub fn add(&mut self, buckets: &[u64], max: u64) {
        for (sum, &count) in self.buckets.iter_mut().zip(buckets) {
            *sum = sum.saturating_add(count);
        }
        self.max = self.max.max(max);
    }

    /// How many there are.
    pub fn count(&self) -> u128 {
        self.buckets.iter().map(|&count| u128::from(count)).sum()
    }

    /// The cycles that `permille` of 1000 do not exceed; `None` where there are none.
    pub fn percentile(&self, permille: u32) -> Option<u64> {
        let rank = (self.count() * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        self.buckets.iter().enumerate().find_map(|(index, &count)| {
            seen += u128::from(count);
            let (_, longest) = bucket_bounds(index);
            (seen >= rank).then(|| longest.min(self.max))
        })
    }

    /// What the report shows of waits; `None` without waits or without a frequency.
    pub fn waits_ns(&self, tsc_khz: u64) -> Option<WaitNs> {
        Some(WaitNs {
            p50: self.ns(500, tsc_khz)?,
            p99: self.ns(990, tsc_khz)?,
            p999: self.ns(999, tsc_khz)?,
            max: cycles_to_ns(self.max, tsc_khz)?,
        })
    }

    /// What the report shows of kicks; `None` without kicks or without a frequency.
    pub fn kicks_ns(&self, tsc_khz: u64) -> Option<KickNs> {
        Some(KickNs {
            kick_p50_ns: self.ns(500, tsc_khz)?,
            kick_p99_ns: self.ns(990, tsc_khz)?,
            kick_max_ns: cycles_to_ns(self.max, tsc_khz)?,
        })
    }

    fn ns(&self, permille: u32, tsc_khz: u64) -> Option<u64> {
        cycles_to_ns(self.percentile(permille)?, tsc_khz)
    }
}

/// Nanoseconds that `cycles` of a TSC at `tsc_khz` take, saturating; `None` at 0 kHz.
pub fn cycles_to_ns(cycles: u64, tsc_khz: u64) -> Option<u64> {
    let ns = (u128::from(cycles) * 1_000_000).checked_div(u128::from(tsc_khz))?;
    Some(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "percentile_test.rs"]
mod tests;
