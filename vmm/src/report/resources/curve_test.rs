use super::*;

const MIB: u64 = 1 << 20;

fn curve(samples: u64, sample: impl Fn(u64) -> Sample) -> Curve {
    let mut curve = Curve::over(samples * 100);
    (1..=samples).for_each(|n| curve.add(Some(sample(n))));
    curve
}

fn steady(n: u64) -> Sample {
    Sample {
        done: n * 100,
        rss_bytes: 8 * MIB,
        anonymous_bytes: 2 * MIB,
        descriptors: 9,
        threads: 2,
    }
}

fn verdict(curve: &Curve) -> Option<Verdict> {
    curve.growth.map(|growth| growth.verdict)
}

#[test]
fn what_stays_is_flat_and_so_is_what_came_up_in_the_first_half() {
    assert_eq!(verdict(&curve(40, steady)), Some(Verdict::Flat));
    let starts = curve(40, |n| Sample {
        rss_bytes: n.min(18) * MIB,
        descriptors: n.min(18),
        ..steady(n)
    });
    assert_eq!(verdict(&starts), Some(Verdict::Flat), "{starts}");
}

#[test]
fn every_quantity_that_goes_on_growing_is_found() {
    let grows: [fn(&mut Sample, u64); 4] = [
        |sample, n| sample.rss_bytes += n * 16 * 1024,
        |sample, n| sample.anonymous_bytes += n * 16 * 1024,
        |sample, n| sample.descriptors += n / 10,
        |sample, n| sample.threads += n,
    ];
    for (which, grow) in grows.into_iter().enumerate() {
        let growing = curve(40, |n| {
            let mut sample = steady(n);
            grow(&mut sample, n);
            sample
        });
        assert_eq!(
            verdict(&growing),
            Some(Verdict::Grows),
            "{which}: {growing}"
        );
        assert!(growing.to_string().contains("GROW"));
    }
}

#[test]
fn a_peak_or_two_are_no_growth_and_neither_is_less() {
    let peaks = curve(40, |n| Sample {
        rss_bytes: if n == 33 || n == 40 {
            90 * MIB
        } else {
            8 * MIB
        },
        ..steady(n)
    });
    assert_eq!(verdict(&peaks), Some(Verdict::Flat), "{peaks}");
    let shrinks = curve(40, |n| Sample {
        rss_bytes: (50 - n) * MIB,
        ..steady(n)
    });
    let growth = shrinks.growth.unwrap();
    assert_eq!(growth.verdict, Verdict::Flat);
    assert!(
        (growth.rss_bytes + 19.0 * MIB as f64).abs() < 1.0,
        "{growth:?}"
    );
}

#[test]
fn few_samples_decide_nothing() {
    let short = curve(14, steady);
    assert_eq!(verdict(&short), None);
    assert!(short.to_string().contains("too few"), "{short}");
    assert_eq!(verdict(&curve(15, steady)), Some(Verdict::Flat));
}

#[test]
fn a_run_of_any_length_leaves_a_hundred_points_or_less() {
    for total in [1, 99, 100, 101, 1000, 10_001, u64::MAX] {
        let curve = Curve::over(total);
        assert!(total / curve.every <= POINTS, "{total}");
    }
    let due = (1..=1000).filter(|done| Curve::over(1000).is_due(*done));
    assert_eq!(due.count(), 100);
}
