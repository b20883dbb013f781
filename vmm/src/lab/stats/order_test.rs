use super::super::median_interval;
use super::*;

/// C(n, k), exactly.
fn choose(n: u64, k: u64) -> u64 {
    (0..k).fold(1, |ways, at| ways * (n - at) / (at + 1))
}

/// With what probability the median lies from the `low`th to the `high`th of `count` values, from 1.
fn coverage(count: u64, low: u64, high: u64) -> f64 {
    let ways: u64 = (low..high).map(|below| choose(count, below)).sum();
    ways as f64 / (1u64 << count) as f64
}

/// The interval of 1, 2, 3 and so on ends on these places.
fn places(count: u64) -> (f64, f64, f64) {
    let values: Vec<_> = (1..=count).map(|value| value as f64).collect();
    let interval = median_interval(&values).unwrap();
    (interval.low, interval.high, interval.level)
}

#[test]
fn of_3_to_25_values_an_interval_covers_what_it_says_by_count_of_all_orders() {
    for count in 3..=25 {
        let (low, high, level) = places(count);
        // An end between two values covers at least what the inner one does.
        let inner = |at: u64| low <= at as f64 && at as f64 <= high;
        let inner: Vec<u64> = (1..=count).filter(|at| inner(*at)).collect();
        let (inner_low, inner_high) = (inner[0], inner[inner.len() - 1]);
        let covered = coverage(count, inner_low, inner_high);
        assert!(covered >= level - 1e-9, "{count}: {covered} of {level}");
        let best = coverage(count, 1, count);
        assert!(level >= LEVEL.min(best) - 1e-9, "{count}: {level}");
    }
}

#[test]
fn odd_numbers_of_values_end_where_a_table_of_the_binomial_says() {
    for (count, low, high, percent) in [
        (5, 1.0, 5.0, 93.75),
        (7, 1.0, 7.0, 98.4375),
        (9, 2.0, 8.0, 96.09375),
        (11, 2.0, 10.0, 98.828_125),
        (15, 4.0, 12.0, 96.484_375),
    ] {
        let (found_low, found_high, level) = places(count);
        assert_eq!((found_low, found_high), (low, high), "{count}");
        assert!((level * 100.0 - percent).abs() < 1e-6, "{count}: {level}");
    }
}

#[test]
fn very_many_values_leave_out_no_more_than_they_may() {
    let (left_out, level) = left_out(100_000);
    assert!(left_out < 50_000 && level >= LEVEL, "{left_out} {level}");
}

#[test]
fn a_tail_is_that_of_the_binomial() {
    assert!((tail(20, 0, 0.05) - 1.0).abs() < 1e-9);
    assert!((tail(20, 1, 0.05) - (1.0 - 0.95f64.powi(20))).abs() < 1e-9);
    assert!((tail(20, 4, 0.05) - 0.015_901_6).abs() < 1e-6);
    assert!((tail(3, 3, 0.05) - 0.05f64.powi(3)).abs() < 1e-12);
    assert_eq!(tail(0, 1, 0.05), 0.0);
    assert!((tail(100_000, 1, 0.025) - 1.0).abs() < 1e-6);
}
