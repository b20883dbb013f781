//! The median.

/// The median of `values`; `None` of none. Of an even number it is the mean of the middle two.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    of_scratch(&mut sorted)
}

/// As [`median`]; `values` is put in order on the way.
pub(crate) fn of_scratch(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let above = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(above);
    }
    let below = values.get(values.len() / 2 - 1)?;
    Some(f64::midpoint(*below, above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_middle_or_the_mean_of_both_middles() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    proptest! {
        #[test]
        fn at_most_half_lie_on_either_side(values in prop::collection::vec(-1e9..1e9f64, 1..50)) {
            let middle = median(&values).unwrap();
            let half = values.len() / 2;
            prop_assert!(values.iter().filter(|value| **value < middle).count() <= half);
            prop_assert!(values.iter().filter(|value| **value > middle).count() <= half);
        }

        #[test]
        fn order_does_not_matter(values in prop::collection::vec(-1e9..1e9f64, 1..50)) {
            let mut backwards = values.clone();
            backwards.reverse();
            prop_assert_eq!(median(&values), median(&backwards));
        }
    }
}
