use super::*;

#[test]
fn percentiles_are_times_that_were_measured() {
    assert_eq!(Downtime::of(&[]), None);
    let one = Downtime::of(&[7]).unwrap();
    assert_eq!(
        (one.min, one.p50, one.p99, one.max, one.count),
        (7, 7, 7, 7, 1)
    );
    let times: Vec<u64> = (1..=200).rev().collect();
    let many = Downtime::of(&times).unwrap();
    assert_eq!((many.min, many.p50, many.p99, many.max), (1, 100, 198, 200));
}
