use proptest::prelude::*;

use super::*;

#[test]
fn pairs_cancel_what_moves_both() {
    // The host becomes four times slower on the way, and the ratio stays 2.
    let pairs = [(8.0, 4.0), (6.0, 3.0), (4.0, 2.0), (2.0, 1.0), (2.2, 1.1)];
    let ratio = paired(&pairs).unwrap();
    assert!((ratio.median - 2.0).abs() < 1e-12);
    assert_eq!(ratio.verdict(), Verdict::Higher);
    // The same runs unpaired: nothing can be said.
    let (values, base): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    assert_eq!(
        unpaired(&values, &base).unwrap().verdict(),
        Verdict::NoDifferenceShown
    );
}

#[test]
fn half_as_much_is_lower() {
    let ratio = paired(&[(1.0, 2.0); 5]).unwrap();
    assert_eq!((ratio.median, ratio.runs), (0.5, 5));
    assert_eq!(ratio.verdict(), Verdict::Lower);
}

#[test]
fn a_base_of_0_is_beaten_by_more_than_any_number() {
    for ratio in [
        paired(&[(1.0, 0.0); 5]).unwrap(),
        unpaired(&[1.0; 5], &[0.0; 5]).unwrap(),
    ] {
        assert_eq!((ratio.median, ratio.runs), (f64::INFINITY, 5));
        assert_eq!(ratio.verdict(), Verdict::Higher);
    }
    // One of five counts as the largest, and is not forgotten.
    let most = [(2.0, 1.0), (3.0, 1.0), (4.0, 1.0), (5.0, 1.0), (1.0, 0.0)];
    let ratio = paired(&most).unwrap();
    assert_eq!((ratio.median, ratio.runs), (4.0, 5));
    assert_eq!(ratio.interval.unwrap().high, f64::INFINITY);
}

#[test]
fn nothing_to_nothing_and_nothing_below_nothing_has_a_ratio() {
    assert_eq!(paired(&[(0.0, 0.0), (2.0, -1.0)]), None);
    assert_eq!(paired(&[]), None);
    assert_eq!(paired(&[(0.0, 0.0), (6.0, 2.0)]).unwrap().runs, 1);
    assert_eq!(unpaired(&[0.0], &[0.0, 0.0, 1.0]), None);
    assert_eq!(unpaired(&[], &[1.0]), None);
}

#[test]
fn three_pairs_have_an_interval_and_no_verdict() {
    let ratio = paired(&[(3.0, 1.0); 4]).unwrap();
    assert!((ratio.interval.unwrap().level - 0.875).abs() < 1e-9);
    assert_eq!(ratio.verdict(), Verdict::NotEnoughRuns);
    assert_eq!(paired(&[(3.0, 1.0); 5]).unwrap().verdict(), Verdict::Higher);
}

/// Two sides of which only the order is known: each ends where the binomial says.
#[test]
fn an_interval_of_medians_is_no_narrower_than_that_of_either_side() {
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
    let interval = unpaired(&values, &[1.0; 7]).unwrap().interval.unwrap();
    assert!(interval.low <= 1.0 + 1e-9 && interval.high >= 7.0 - 1e-9);
    assert!((interval.level - 0.984_375).abs() < 1e-9);
}

#[test]
fn two_pairs_are_not_enough() {
    let ratio = paired(&[(3.0, 1.0), (3.0, 1.0)]).unwrap();
    assert_eq!((ratio.median, ratio.interval), (3.0, None));
    assert_eq!(ratio.verdict(), Verdict::NotEnoughRuns);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn of_itself_it_is_one_and_shows_no_difference(
        values in prop::collection::vec(0.001..1e9f64, 5..15)
    ) {
        let twins: Vec<_> = values.iter().map(|value| (*value, *value)).collect();
        for ratio in [paired(&twins).unwrap(), unpaired(&values, &values).unwrap()] {
            prop_assert_eq!(ratio.median, 1.0);
            prop_assert_eq!(ratio.verdict(), Verdict::NoDifferenceShown);
        }
    }

    #[test]
    fn another_unit_does_not_matter(
        pairs in prop::collection::vec((0.001..1e6f64, 0.001..1e6f64), 3..15)
    ) {
        // A power of two: exact.
        let scaled: Vec<_> = pairs.iter().map(|(a, b)| (a * 4096.0, b * 4096.0)).collect();
        prop_assert_eq!(paired(&pairs), paired(&scaled));
        let split = |pairs: Vec<_>| pairs.into_iter().unzip::<f64, f64, Vec<_>, Vec<_>>();
        let ((a, b), (c, d)) = (split(pairs), split(scaled));
        prop_assert_eq!(unpaired(&a, &b), unpaired(&c, &d));
    }

    #[test]
    fn the_ratio_is_in_its_interval(
        pairs in prop::collection::vec((0.001..1e6f64, 0.001..1e6f64), 3..15)
    ) {
        let ratio = paired(&pairs).unwrap();
        prop_assert!(ratio.interval.unwrap().contains(ratio.median));
    }
}
