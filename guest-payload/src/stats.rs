//! Counters and histograms that one CPU writes and the host reads live.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::abi::{
    CPU_ABSENT, CpuResults, HISTO_BLOCKED_BUCKETS, SlowPathStats, WAIT_BUCKETS, WAIT_SUB_BITS,
};

const SUB_STEPS: u64 = 1 << WAIT_SUB_BITS;

/// Bucket of [`CpuResults::wait`] that counts a wait of `cycles`, and of [`CpuResults::kick`].
///
/// Log-linear: exact below 16, then eight equal steps in every octave; the last bucket takes all
/// that is longer.
pub fn wait_bucket(cycles: u64) -> usize {
    if cycles < SUB_STEPS {
        return usize_from(cycles);
    }
    let octave = cycles.ilog2() - WAIT_SUB_BITS;
    // The leading bit of the shifted value is what moves on to the next octave.
    let bucket = u64::from(octave) * SUB_STEPS + (cycles >> octave);
    usize_from(bucket).min(WAIT_BUCKETS - 1)
}

/// The shortest and the longest wait in cycles that `bucket` counts.
///
/// Buckets past the last are read as the last.
pub fn bucket_bounds(bucket: usize) -> (u64, u64) {
    let bucket = bucket.min(WAIT_BUCKETS - 1) as u64;
    let low = lowest_of(bucket);
    let high = if bucket == WAIT_BUCKETS as u64 - 1 {
        u64::MAX
    } else {
        lowest_of(bucket + 1) - 1
    };
    (low, high)
}

fn lowest_of(bucket: u64) -> u64 {
    if bucket < SUB_STEPS {
        return bucket;
    }
    let octave = bucket / SUB_STEPS - 1;
    (SUB_STEPS + bucket % SUB_STEPS) << octave
}

/// Adds to a counter that only the calling CPU writes: no locked instruction.
#[inline(always)]
pub fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

/// Counts one wait of `cycles` for a lock of this CPU.
pub fn record_wait(cpu: &CpuResults, cycles: u64) {
    record(&cpu.wait, &cpu.wait_max, cycles);
}

/// Counts one kick that this CPU sent, which took it `cycles`.
pub fn record_kick(cpu: &CpuResults, cycles: u64) {
    record(&cpu.kick, &cpu.kick_max, cycles);
}

fn record(histogram: &[AtomicU64; WAIT_BUCKETS], max: &AtomicU64, cycles: u64) {
    if let Some(counter) = histogram.get(wait_bucket(cycles)) {
        add(counter, 1);
    }
    if cycles > max.load(Relaxed) {
        max.store(cycles, Relaxed);
    }
}

/// Starts counting: what this CPU has counted so far belongs to the time it took to settle.
///
/// Halts, kicks, spin exits and violations count from the beginning.
pub fn settle(cpu: &CpuResults) {
    add(&cpu.settled, cpu.acquisitions.load(Relaxed));
    let histograms = cpu.wait.iter().chain(&cpu.kick);
    for counter in histograms.chain([&cpu.acquisitions, &cpu.wait_max, &cpu.kick_max]) {
        counter.store(0, Relaxed);
    }
    cpu.slow.zero_stats.store(1, Relaxed);
    reset_if_asked(&cpu.slow);
}

/// Adds one to `counter` of `stats`, after the reset that somebody may have asked for.
pub fn count_slow(stats: &SlowPathStats, counter: &AtomicU64) {
    reset_if_asked(stats);
    add(counter, 1);
}

/// Counts a poll that came back without its event.
pub fn count_spurious(stats: &SlowPathStats) {
    reset_if_asked(stats);
    let counter = &stats.taken_slow_spurious;
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

/// Counts one stay in the slow path of `ns` nanoseconds.
pub fn record_blocked(stats: &SlowPathStats, ns: u64) {
    reset_if_asked(stats);
    if let Some(counter) = stats.histo_blocked.get(blocked_bucket(ns)) {
        add(counter, 1);
    }
    add(&stats.time_blocked_ns, ns);
}

/// Bucket of `histo_blocked`: floor(log2), 0 for 0; the last takes all that is longer.
pub fn blocked_bucket(ns: u64) -> usize {
    (ns.checked_ilog2().unwrap_or(0) as usize).min(HISTO_BLOCKED_BUCKETS - 1)
}

/// Clears the set if `zero_stats` asks for it; the cmpxchg lets one request clear it once, even
/// if the next request comes in between.
fn reset_if_asked(stats: &SlowPathStats) {
    let asked = stats.zero_stats.load(Relaxed);
    if asked == 0 {
        return;
    }
    if stats
        .zero_stats
        .compare_exchange(asked, 0, Relaxed, Relaxed)
        .is_ok()
    {
        let SlowPathStats {
            taken_slow,
            taken_slow_pickup,
            released_slow,
            released_slow_kicked,
            time_blocked_ns,
            histo_blocked,
            zero_stats: _,
            taken_slow_spurious,
        } = stats;
        for counter in [
            taken_slow,
            taken_slow_pickup,
            released_slow,
            released_slow_kicked,
            time_blocked_ns,
        ] {
            counter.store(0, Relaxed);
        }
        taken_slow_spurious.store(0, Relaxed);
        for counter in histo_blocked {
            counter.store(0, Relaxed);
        }
    }
}

impl CpuResults {
    /// The numbers of a CPU that has not started.
    pub const fn new() -> Self {
        Self {
            apic_id: AtomicU32::new(0),
            state: AtomicU32::new(CPU_ABSENT),
            waiting_lock: AtomicU64::new(0),
            waiting_ticket: AtomicU32::new(0),
            kick_port: AtomicU32::new(0),
            acquisitions: AtomicU64::new(0),
            halts: AtomicU64::new(0),
            kicks_sent: AtomicU64::new(0),
            mutual_exclusion: AtomicU64::new(0),
            fifo: AtomicU64::new(0),
            touch_after_unlock: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            slow: SlowPathStats {
                taken_slow: AtomicU64::new(0),
                taken_slow_pickup: AtomicU64::new(0),
                released_slow: AtomicU64::new(0),
                released_slow_kicked: AtomicU64::new(0),
                time_blocked_ns: AtomicU64::new(0),
                histo_blocked: [const { AtomicU64::new(0) }; HISTO_BLOCKED_BUCKETS],
                zero_stats: AtomicU32::new(0),
                taken_slow_spurious: AtomicU32::new(0),
            },
            wait: [const { AtomicU64::new(0) }; WAIT_BUCKETS],
            wait_max: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            io_turns: AtomicU64::new(0),
            io_duplicated: AtomicU64::new(0),
            io_lost: AtomicU64::new(0),
            tsc_backwards: AtomicU64::new(0),
            kvmclock_backwards: AtomicU64::new(0),
            clock_stops: AtomicU64::new(0),
            traced: AtomicU64::new(0),
            spin_exits: AtomicU64::new(0),
            kick: [const { AtomicU64::new(0) }; WAIT_BUCKETS],
            kick_max: AtomicU64::new(0),
        }
    }
}

impl Default for CpuResults {
    fn default() -> Self {
        Self::new()
    }
}

/// The payload runs on 64-bit processors only.
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits here")]
fn usize_from(value: u64) -> usize {
    value as usize
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "stats_test.rs"]
mod tests;
