use proptest::prelude::*;

use super::super::interval::LEVEL;
use super::super::median;
use super::*;

/// Uniform on 0..1, by another generator than the one under test.
struct Lehmer(u64);

impl Lehmer {
    fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn sample(&mut self, len: usize, shape: fn(f64) -> f64) -> Vec<f64> {
        (0..len).map(|_| shape(self.uniform())).collect()
    }
}

/// How often the interval of `len` draws holds the true median.
fn coverage(len: usize, shape: fn(f64) -> f64) -> f64 {
    const TRIALS: u32 = 100;
    let mut source = Lehmer(1);
    let truth = shape(0.5);
    let held = (0..TRIALS)
        .filter(|_| {
            let values = source.sample(len, shape);
            median_interval(&values).unwrap().contains(truth)
        })
        .count();
    held as f64 / f64::from(TRIALS)
}

#[test]
fn one_or_two_values_have_no_interval() {
    assert_eq!(median_interval(&[]), None);
    assert_eq!(median_interval(&[1.0]), None);
    assert_eq!(median_interval(&[1.0, 2.0]), None);
    assert!(median_interval(&[1.0, 2.0, 3.0]).is_some());
}

#[test]
fn few_values_do_not_claim_95_percent() {
    let level = |len: usize| median_interval(&vec![1.0; len]).unwrap().level;
    for (len, expected) in [(3, 0.75), (4, 0.875), (5, 0.9375), (6, 0.96875)] {
        assert!(
            (level(len) - expected).abs() < 1e-9,
            "{len}: {}",
            level(len)
        );
    }
    assert!((LEVEL..0.98).contains(&level(60)));
}

#[test]
fn the_true_median_is_in_it_about_as_often_as_it_says() {
    let shapes: [fn(f64) -> f64; 3] = [
        |u| u,
        // Exponential, and a tail so heavy that it has no mean.
        |u| -(1.0 - u).ln(),
        |u| (std::f64::consts::PI * (u - 0.5)).tan(),
    ];
    for shape in shapes {
        let held = coverage(25, shape);
        assert!((0.90..=1.0).contains(&held), "25: {held}");
        let held = coverage(5, shape);
        assert!((0.88..=0.99).contains(&held), "5: {held}");
    }
    let held = coverage(3, shapes[0]);
    assert!((0.67..=0.83).contains(&held), "3: {held}");
}

#[test]
fn it_narrows_with_the_number_of_runs() {
    let width = |len| {
        let mut source = Lehmer(9);
        let widths: Vec<_> = (0..20)
            .map(|_| median_interval(&source.sample(len, |u| u)).unwrap())
            .map(|interval| interval.high - interval.low)
            .collect();
        median(&widths).unwrap()
    };
    let (few, more, many) = (width(5), width(20), width(80));
    assert!(few > 1.5 * more && more > 1.5 * many, "{few} {more} {many}");
}

#[test]
fn values_that_agree_leave_no_width() {
    let interval = median_interval(&[4.0; 5]).unwrap();
    assert_eq!((interval.low, interval.high), (4.0, 4.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_median_is_in_it(values in prop::collection::vec(0.0..1e9f64, 3..20)) {
        let interval = median_interval(&values).unwrap();
        prop_assert!(interval.contains(median(&values).unwrap()));
    }

    #[test]
    fn the_same_values_have_the_same_interval(values in prop::collection::vec(0.0..1e9f64, 3..20)) {
        prop_assert_eq!(median_interval(&values), median_interval(&values));
    }

    #[test]
    fn another_unit_scales_it(values in prop::collection::vec(1.0..1e6f64, 3..20)) {
        // A power of two: exact.
        let scaled: Vec<_> = values.iter().map(|value| value * 1024.0).collect();
        let (one, other) = (median_interval(&values).unwrap(), median_interval(&scaled).unwrap());
        prop_assert_eq!((one.low * 1024.0, one.high * 1024.0), (other.low, other.high));
    }
}
