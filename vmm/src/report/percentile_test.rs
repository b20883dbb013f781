use guest_payload::stats::wait_bucket;
use proptest::prelude::*;

use super::*;

fn histogram(waits: &[u64]) -> CycleHistogram {
    let mut buckets = vec![0; WAIT_BUCKETS];
    for &wait in waits {
        buckets[wait_bucket(wait)] += 1;
    }
    let mut histogram = CycleHistogram::default();
    histogram.add(&buckets, waits.iter().copied().max().unwrap_or(0));
    histogram
}

#[test]
fn nothing_measured_has_no_percentile() {
    assert_eq!(CycleHistogram::default().percentile(500), None);
    assert_eq!(CycleHistogram::default().waits_ns(1), None);
}

#[test]
fn an_unknown_frequency_gives_no_ns() {
    assert_eq!(histogram(&[5]).waits_ns(0), None);
}

#[test]
fn two_cpus_are_merged() {
    let mut both = histogram(&[1, 1, 1]);
    both.add(&histogram(&[6]).buckets, 6);
    assert_eq!(both.count(), 4);
    assert_eq!(both.percentile(500), Some(1));
    assert_eq!(both.percentile(990), Some(6));
}

#[test]
fn cycles_become_ns_without_overflow() {
    assert_eq!(cycles_to_ns(3, 1_000_000), Some(3));
    assert_eq!(cycles_to_ns(2_100_000, 2_100_000), Some(1_000_000));
    assert_eq!(cycles_to_ns(u64::MAX, 2_000_000), Some(u64::MAX / 2));
    assert_eq!(cycles_to_ns(u64::MAX, 1), Some(u64::MAX));
}

proptest! {
    #[test]
    fn percentiles_agree_with_a_sorted_vector(
        mut waits in prop::collection::vec((0..60u32, any::<u64>()), 1..400)
            .prop_map(|pairs| pairs.into_iter().map(|(bits, x)| x >> (63 - bits)).collect::<Vec<_>>()),
        permille in 1..=1000u32,
    ) {
        let histogram = histogram(&waits);
        waits.sort_unstable();
        let rank = (waits.len() * permille as usize).div_ceil(1000);
        let exact = waits[rank - 1];
        let found = histogram.percentile(permille).unwrap();
        prop_assert_eq!(wait_bucket(found), wait_bucket(exact));
        prop_assert!(found >= exact);
        prop_assert!(found <= *waits.last().unwrap());
        if exact < 1 << 40 {
            prop_assert!(found - exact <= exact / 8);
        }
    }
}
