use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_wait_lies_within_the_bounds_of_its_bucket(cycles: u64, shift in 0..64_u32) {
        // Shifted, so that short waits are as likely as long ones.
        let cycles = cycles >> shift;
        let (low, high) = bucket_bounds(wait_bucket(cycles));
        prop_assert!(low <= cycles && cycles <= high);
    }

    #[test]
    fn a_bucket_is_at_most_an_eighth_wide(cycles in 0..1_u64 << 43) {
        let (low, high) = bucket_bounds(wait_bucket(cycles));
        prop_assert!((high - low) * 8 <= low);
    }

    #[test]
    fn blocked_time_lies_within_its_power_of_two(ns in 1..1_u64 << 31) {
        let bucket = blocked_bucket(ns);
        prop_assert!(1 << bucket <= ns && ns < 2 << bucket);
    }
}

#[test]
fn the_buckets_cover_every_wait_once() {
    let mut next = 0;
    for bucket in 0..WAIT_BUCKETS {
        let (low, high) = bucket_bounds(bucket);
        assert_eq!(low, next, "bucket {bucket}");
        assert_eq!(wait_bucket(low), bucket);
        assert_eq!(wait_bucket(high), bucket);
        next = high.wrapping_add(1);
    }
    assert_eq!(next, 0, "the last bucket ends at u64::MAX");
}

#[test]
fn short_waits_are_exact() {
    for cycles in 0..16 {
        assert_eq!(bucket_bounds(wait_bucket(cycles)), (cycles, cycles));
    }
}

#[test]
fn the_ends_of_histo_blocked_take_what_is_beyond() {
    assert_eq!(blocked_bucket(0), 0);
    assert_eq!(blocked_bucket(1), 0);
    assert_eq!(blocked_bucket(u64::MAX), HISTO_BLOCKED_BUCKETS - 1);
}

#[test]
fn waits_are_counted_and_the_longest_is_kept() {
    let cpu = CpuResults::new();
    for cycles in [7, 7, 100] {
        record_wait(&cpu, cycles);
    }
    assert_eq!(cpu.wait[7].load(Relaxed), 2);
    assert_eq!(cpu.wait[wait_bucket(100)].load(Relaxed), 1);
    assert_eq!(cpu.wait_max.load(Relaxed), 100);
}

#[test]
fn kicks_are_counted_apart_from_waits_and_both_start_anew_once_settled() {
    let cpu = CpuResults::new();
    record_wait(&cpu, 7);
    record_kick(&cpu, 9);
    record_kick(&cpu, 100);
    assert_eq!(cpu.kick[9].load(Relaxed), 1);
    assert_eq!(cpu.kick_max.load(Relaxed), 100);
    assert_eq!(cpu.wait_max.load(Relaxed), 7);
    settle(&cpu);
    let counted = cpu.kick.iter().chain(&cpu.wait);
    assert_eq!(counted.map(|counter| counter.load(Relaxed)).sum::<u64>(), 0);
    assert_eq!(cpu.kick_max.load(Relaxed), 0);
}

#[test]
fn zero_stats_clears_the_set_once_before_the_next_update() {
    let stats = SlowPathStats::default();
    record_blocked(&stats, 5);
    count_slow(&stats, &stats.taken_slow);
    stats.zero_stats.store(1, Relaxed);

    count_slow(&stats, &stats.released_slow);
    assert_eq!(stats.zero_stats.load(Relaxed), 0);
    assert_eq!(stats.released_slow.load(Relaxed), 1);
    assert_eq!(stats.taken_slow.load(Relaxed), 0);
    assert_eq!(stats.time_blocked_ns.load(Relaxed), 0);
    assert_eq!(stats.histo_blocked[2].load(Relaxed), 0);

    count_slow(&stats, &stats.released_slow);
    assert_eq!(stats.released_slow.load(Relaxed), 2);
}
