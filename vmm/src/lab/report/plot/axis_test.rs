use super::*;
use proptest::prelude::*;

fn span(values: &[f64]) -> Span {
    let mut span = Span::default();
    values.iter().for_each(|value| span.add(*value));
    span
}

fn labels(axis: &Axis) -> Vec<&str> {
    axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
}

#[test]
fn heights_begin_at_0_unless_that_hides_the_small_ones() {
    let write = |value: f64| format!("{value:.0}");
    let linear = Axis::heights("", &span(&[10.0, 100.0]), write);
    assert_eq!((linear.scale, linear.low), (Scale::Linear, 0.0));
    assert_eq!(labels(&linear), ["0", "20", "40", "60", "80", "100"]);
    let log = Axis::heights("", &span(&[1.0, 1e4]), write);
    assert_eq!(log.scale, Scale::Log);
    assert_eq!(labels(&log), ["1", "10", "100", "1000", "10000"]);
    let with_zero = Axis::heights("", &span(&[0.0, 1e4]), write);
    assert_eq!(with_zero.scale, Scale::Linear);
}

#[test]
fn nothing_but_zero_or_less_has_an_axis_too() {
    for values in [&[0.0][..], &[-5.0], &[-5.0, 5.0], &[]] {
        let axis = Axis::heights("", &span(values), |value| value.to_string());
        assert!(axis.low <= 0.0 && axis.high > 0.0, "{axis:?}");
        assert!((2..10).contains(&axis.ticks.len()), "{axis:?}");
    }
}

#[test]
fn one_is_on_every_axis_of_ratios() {
    for values in [&[5.0, 8.0][..], &[0.1], &[1.0], &[]] {
        let axis = Axis::ratios("", &span(values), |value| format!("{value:.2}"));
        assert!(axis.place(1.0).is_some(), "{values:?}");
        assert!(
            labels(&axis).contains(&"1.00"),
            "{values:?}: {:?}",
            labels(&axis)
        );
    }
}

#[test]
fn labels_of_places_stand_apart() {
    let values: Vec<_> = (1..200).map(f64::from).collect();
    let axis = Axis::places("", &span(&values), 80, |value| value.to_string());
    let width = axis.high - axis.low;
    for pair in axis.ticks.windows(2) {
        assert!((pair[1].0 - pair[0].0) / width > 3.0 / 80.0);
    }
    let doubling = Axis::places("", &span(&[1.0, 2.0, 4.0, 8.0]), 80, |value| {
        value.to_string()
    });
    assert_eq!(labels(&doubling), ["1", "2", "4", "8"]);
}

proptest! {
    #[test]
    fn every_value_that_it_was_made_for_has_a_place(
        values in prop::collection::vec(
            prop_oneof![-1e9..1e9f64, Just(0.0), 1e-9..1.0f64, any::<f64>()],
            1..20,
        )
    ) {
        let span = span(&values);
        for axis in [
            Axis::heights("", &span, |value| value.to_string()),
            Axis::places("", &span, 40, |value| value.to_string()),
        ] {
            prop_assert!(axis.low < axis.high, "{axis:?}");
            prop_assert!(axis.ticks.len() < 60);
            let is_on_it = |(at, _): &(f64, String)| (axis.low..=axis.high).contains(at);
            prop_assert!(axis.ticks.iter().all(is_on_it), "{axis:?}");
            for value in &span.0 {
                prop_assert!(axis.place(*value).is_some(), "{value} on {axis:?}");
            }
        }
        let ratios = Axis::ratios("", &span, |value| value.to_string());
        prop_assert!(ratios.low < ratios.high);
    }
}
