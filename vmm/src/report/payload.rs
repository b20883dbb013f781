//! The bundled payload's numbers: per-CPU counters from its results page, added up.

use guest_payload::abi::HISTO_BLOCKED_BUCKETS;
use serde::{Deserialize, Serialize};

use super::cpu_counts::CpuCounts;
use super::fairness::Fairness;
use super::percentile::{CycleHistogram, KickNs, WaitNs};
use super::violations::Violations;
use crate::device::counter::IoCounts;

/// What only the payload can tell. All of it is guest memory: a hostile guest may say anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PayloadResults {
    /// Locks taken, all vCPUs.
    pub acquisitions: u64,
    /// The same per second of [`RunReport::seconds`](super::run::RunReport::seconds).
    pub acquisitions_per_s: f64,
    /// Promises that a lock, or the machine below it, broke.
    pub violations: Violations,
    /// How evenly the vCPUs shared; null when no lock was taken.
    pub fairness: Option<Fairness>,
    /// Waits for a lock; null when no lock was taken or the TSC's frequency is unknown.
    pub wait_ns: Option<WaitNs>,
    /// What kicks took their sender; absent when none was sent in a slow path or the TSC's frequency is
    /// unknown.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub kick_ns: Option<KickNs>,
    /// Slow path and memory counters.
    pub guest: GuestCounters,
}

/// Counters of the guest, all vCPUs. Names as in debugfs `kvm-guest/spinlocks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestCounters {
    /// Slow path entered by a waiter.
    pub taken_slow: u64,
    /// Lock found free at the last look, so that no halt was needed.
    pub taken_slow_pickup: u64,
    /// Polls that came back without their event, under Xen's interface.
    #[serde(default)]
    pub taken_slow_spurious: u64,
    /// Slow path entered by an unlocker.
    pub released_slow: u64,
    /// Waiter found and kicked.
    pub released_slow_kicked: u64,
    /// Time in the slow path, in ns.
    pub time_blocked_ns: u64,
    /// Log2 histogram of the same: bucket i counts waits of 2^i to 2^(i+1) - 1 ns, the first also
    /// 0 ns, the last all that is longer.
    pub histo_blocked: Vec<u64>,
    /// Halts.
    pub halts: u64,
    /// Kicks sent.
    pub kicks_sent: u64,
    /// Times that a vCPU left a spin loop for the host.
    #[serde(default)]
    pub spin_exits: u64,
    /// Lock objects freed and poisoned.
    pub freed: u64,
    /// Turns that wrote and read a sequence number.
    pub io_turns: u64,
    /// Times a vCPU learnt that the host had stopped it.
    pub clock_stops: u64,
}

/// Adds up CPUs one by one, so that no more than one CPU's histogram is ever held beside the sum.
#[derive(Debug)]
pub struct Tally {
    per_cpu: Vec<u64>,
    violations: Violations,
    wait: CycleHistogram,
    kick: CycleHistogram,
    guest: GuestCounters,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            per_cpu: Vec::new(),
            violations: Violations::default(),
            wait: CycleHistogram::default(),
            kick: CycleHistogram::default(),
            guest: GuestCounters {
                histo_blocked: vec![0; HISTO_BLOCKED_BUCKETS],
                ..GuestCounters::default()
            },
        }
    }
}

impl Tally {
    /// Adds one CPU. Sums saturate: the numbers are the guest's.
    pub fn add(&mut self, cpu: &CpuCounts) {
        self.per_cpu.push(cpu.acquisitions);
        self.wait.add(&cpu.wait, cpu.wait_max_cycles);
        self.kick.add(&cpu.kick, cpu.kick_max_cycles);
        self.violations.add(&cpu.violations);
        let to = &mut self.guest;
        grow(&mut to.taken_slow, cpu.taken_slow);
        grow(&mut to.taken_slow_pickup, cpu.taken_slow_pickup);
        grow(&mut to.taken_slow_spurious, cpu.taken_slow_spurious);
        grow(&mut to.released_slow, cpu.released_slow);
        grow(&mut to.released_slow_kicked, cpu.released_slow_kicked);
        grow(&mut to.time_blocked_ns, cpu.time_blocked_ns);
        grow(&mut to.halts, cpu.halts);
        grow(&mut to.kicks_sent, cpu.kicks_sent);
        grow(&mut to.spin_exits, cpu.spin_exits);
        grow(&mut to.freed, cpu.freed);
        grow(&mut to.io_turns, cpu.io_turns);
        grow(&mut to.clock_stops, cpu.clock_stops);
        for (sum, &count) in to.histo_blocked.iter_mut().zip(&cpu.histo_blocked) {
            grow(sum, count);
        }
    }

    /// Adds what the counting device saw, of all vCPUs.
    pub fn add_device(&mut self, counts: &IoCounts) {
        self.violations.add_device(counts);
    }

    /// The sums. `seconds` is the time the acquisitions took; `tsc_khz` the guest's TSC frequency,
    /// 0 where it is unknown.
    pub fn finish(self, seconds: f64, tsc_khz: u64) -> PayloadResults {
        let acquisitions = self.per_cpu.iter().copied().fold(0, u64::saturating_add);
        PayloadResults {
            acquisitions,
            acquisitions_per_s: if seconds > 0.0 {
                acquisitions as f64 / seconds
            } else {
                0.0
            },
            violations: self.violations,
            fairness: Fairness::of(&self.per_cpu),
            wait_ns: self.wait.waits_ns(tsc_khz),
            kick_ns: self.kick.kicks_ns(tsc_khz),
            guest: self.guest,
        }
    }
}

fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_add_up() {
        let cpu = CpuCounts {
            acquisitions: 4,
            violations: Violations {
                fifo: 1,
                ..Violations::default()
            },
            taken_slow: 2,
            histo_blocked: vec![1, 2],
            wait: vec![0, 0, 3, 1],
            wait_max_cycles: 3,
            spin_exits: 3,
            kick: vec![0, 1, 0, 0, 9],
            kick_max_cycles: 4,
            ..CpuCounts::default()
        };
        let mut tally = Tally::default();
        tally.add(&cpu);
        tally.add(&CpuCounts {
            acquisitions: 12,
            ..cpu
        });
        let sum = tally.finish(2.0, 1_000_000);
        assert_eq!(sum.acquisitions, 16);
        assert_eq!(sum.acquisitions_per_s, 8.0);
        assert_eq!(sum.violations.total(), 2);
        assert_eq!(sum.guest.taken_slow, 4);
        assert_eq!(sum.guest.histo_blocked[..3], [2, 4, 0]);
        let fairness = sum.fairness.unwrap();
        assert_eq!((fairness.least, fairness.most), (4, 12));
        let wait_ns = sum.wait_ns.unwrap();
        assert_eq!((wait_ns.p50, wait_ns.max), (2, 3));
        assert_eq!(sum.guest.spin_exits, 6);
        let expected = KickNs {
            kick_p50_ns: 4,
            kick_p99_ns: 4,
            kick_max_ns: 4,
        };
        assert_eq!(sum.kick_ns, Some(expected));
    }

    #[test]
    fn what_the_device_saw_is_a_violation_too() {
        let mut tally = Tally::default();
        tally.add(&CpuCounts {
            violations: Violations {
                io_duplicated: 1,
                io_lost: 10,
                ..Violations::default()
            },
            ..CpuCounts::default()
        });
        tally.add_device(&IoCounts {
            writes: 7000,
            reads: 7000,
            duplicated: 100,
            lost: 1000,
        });
        let violations = tally.finish(1.0, 0).violations;
        assert_eq!((violations.io_duplicated, violations.io_lost), (101, 1010));
        assert_eq!(violations.total(), 1111);
    }

    #[test]
    fn a_hostile_guest_saturates_the_sums() {
        let greatest = || vec![u64::MAX; 1000];
        let cpu = CpuCounts {
            acquisitions: u64::MAX,
            wait: greatest(),
            wait_max_cycles: u64::MAX,
            histo_blocked: greatest(),
            time_blocked_ns: u64::MAX,
            ..CpuCounts::default()
        };
        let mut tally = Tally::default();
        tally.add(&cpu);
        tally.add(&cpu);
        let sum = tally.finish(0.0, 1);
        assert_eq!(sum.acquisitions, u64::MAX);
        assert_eq!(sum.acquisitions_per_s, 0.0);
        assert_eq!(sum.guest.time_blocked_ns, u64::MAX);
        assert_eq!(sum.wait_ns.unwrap().max, u64::MAX);
    }

    #[test]
    fn a_run_without_acquisitions_has_no_waits_and_no_fairness() {
        let mut tally = Tally::default();
        tally.add(&CpuCounts::default());
        let sum = tally.finish(1.0, 1_000_000);
        assert_eq!((sum.wait_ns, sum.fairness), (None, None));
        assert_eq!(sum.kick_ns, None);
    }
}
