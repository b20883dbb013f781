//! Values and numbers as a person reads them.

use std::collections::BTreeSet;

use super::super::stats::Interval;
use crate::os::affinity::CpuList;
use crate::text;

/// The number that a factor's value is: a plain one, or a time in ns.
pub(super) fn number(value: &str) -> Option<f64> {
    let plain = value.parse().ok().filter(|number: &f64| number.is_finite());
    plain.or_else(|| {
        text::duration(value)
            .ok()
            .map(|time| time.as_secs_f64() * 1e9)
    })
}

/// How many CPUs a list such as `0,2-3` has; `None` of what is no list.
pub(super) fn listed_cpus(list: &str) -> Option<f64> {
    let cpus: CpuList = list.parse().ok()?;
    let each: BTreeSet<_> = cpus.to_vec().into_iter().collect();
    Some(each.len() as f64)
}

/// Whether all `values` are numbers of one kind: 2048 spins and 2000ns do not share an axis.
pub(super) fn are_numbers(values: &[String]) -> bool {
    let is_plain = |value: &String| value.parse().is_ok_and(|number: f64| number.is_finite());
    let plain = values.iter().filter(|value| is_plain(value)).count();
    let all = values
        .iter()
        .filter(|value| number(value).is_some())
        .count();
    all == values.len() && (plain == 0 || plain == all)
}

/// `factor value` in words: a name such as `ticket` speaks for itself, `on` and `8` do not.
pub(super) fn in_words(factor: &str, value: &str) -> String {
    let is_mute = [
        "true", "false", "on", "off", "default", "none", "auto", "host",
    ]
    .contains(&value)
        || number(value).is_some();
    match (factor, value) {
        ("vcpus", "1") => "1 vCPU".to_owned(),
        ("vcpus", _) => format!("{value} vCPUs"),
        ("pcpus", "1") => "1 pCPU".to_owned(),
        ("pcpus", _) => format!("{value} pCPUs"),
        (_, "true") => factor.to_owned(),
        (_, "false") => format!("no {factor}"),
        _ if is_mute => format!("{factor} {value}"),
        _ => value.to_owned(),
    }
}

/// What is said of a ratio to 0.
const BEYOND: &str = "more than any number";

/// A ratio, with three digits.
pub(super) fn ratio(ratio: f64) -> String {
    if ratio == f64::INFINITY {
        return BEYOND.to_owned();
    }
    format!("{}x", digits(ratio))
}

/// Three significant digits, as far as that makes sense.
pub(super) fn digits(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size == 0.0 => "0".to_owned(),
        _ if !(1e-4..1e9).contains(&size) => format!("{value:.2e}"),
        _ if size >= 99.95 => format!("{value:.0}"),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size >= 0.9995 => format!("{value:.2}"),
        _ if size >= 0.09995 => format!("{value:.3}"),
        _ if size >= 0.009_995 => format!("{value:.4}"),
        _ => format!("{value:.5}"),
    }
}

/// A number as short as it can be.
pub(super) fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e6 {
        return format!("{value:.0}");
    }
    digits(value)
}

/// A ratio as short as it can be.
pub(super) fn ratio_short(ratio: f64) -> String {
    format!("{}x", plain(ratio))
}

/// A time in ms since 1970 as UTC.
pub(super) fn utc(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).ok();
    let time = seconds.and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    match time {
        Some(time) => format!(
            "{} {:02}:{:02} UTC",
            time.date(),
            time.hour(),
            time.minute()
        ),
        None => format!("{unix_ms} ms since 1970"),
    }
}

/// A share of 1 in percent.
pub(super) fn percent(share: f64) -> String {
    if share == f64::INFINITY {
        return BEYOND.to_owned();
    }
    format!("{} %", digits(share * 100.0))
}

/// `low to high, 96 % sure`; `no interval` where there is none.
pub(super) fn interval(interval: Option<Interval>, write: impl Fn(f64) -> String) -> String {
    let Some(Interval { low, high, level }) = interval else {
        return "no interval".to_owned();
    };
    let ends = match (low, high) {
        (f64::INFINITY, _) => BEYOND.to_owned(),
        (low, f64::INFINITY) => format!("more than {}", write(low)),
        (low, high) => format!("{} to {}", write(low), write(high)),
    };
    format!("{ends}, {:.0} % sure", level * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_say_nothing_get_their_factors_name() {
        assert_eq!(in_words("lock", "ticket"), "ticket");
        assert_eq!(in_words("kick-yield", "on"), "kick-yield on");
        assert_eq!(in_words("nopvspin", "true"), "nopvspin");
        assert_eq!(in_words("nopvspin", "false"), "no nopvspin");
        assert_eq!(in_words("threshold", "2048"), "threshold 2048");
        assert_eq!(in_words("vcpus", "8"), "8 vCPUs");
    }

    #[test]
    fn times_are_numbers_and_words_are_none() {
        assert_eq!(number("3ms"), Some(3e6));
        assert_eq!(number("0.5"), Some(0.5));
        for word in ["ticket", "inf", "NaN", "", "1e999"] {
            assert_eq!(number(word), None, "{word}");
        }
    }

    #[test]
    fn a_list_of_cpus_counts_each_of_them_once() {
        assert_eq!(listed_cpus("0,1"), Some(2.0));
        assert_eq!(listed_cpus("0,2-3,3"), Some(3.0));
        for none in ["default", "", "3-2", "0,"] {
            assert_eq!(listed_cpus(none), None, "{none}");
        }
    }

    #[test]
    fn numbers_of_two_kinds_share_no_axis() {
        let are = |values: &[&str]| {
            let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
            are_numbers(&values)
        };
        assert!(are(&["128", "2048"]));
        assert!(are(&["100us", "3ms"]));
        assert!(!are(&["2048", "2000ns"]));
        assert!(!are(&["2048", "default"]));
    }

    #[test]
    fn an_interval_says_how_sure_it_is_and_what_has_no_end() {
        let of = |low, high, level| interval(Some(Interval { low, high, level }), ratio);
        assert_eq!(of(0.5, 2.0, 0.9609), "0.500x to 2.00x, 96 % sure");
        assert_eq!(of(3.0, f64::INFINITY, 0.96), "more than 3.00x, 96 % sure");
        assert_eq!(
            of(f64::INFINITY, f64::INFINITY, 0.96),
            "more than any number, 96 % sure"
        );
    }

    #[test]
    fn ratios_have_three_digits() {
        for (value, text) in [
            (12.345, "12.3x"),
            (1.0, "1.00x"),
            (0.98765, "0.988x"),
            (0.012_345, "0.0123x"),
            (1234.5, "1234x"),
            (0.0, "0x"),
            (1e-7, "1.00e-7x"),
        ] {
            assert_eq!(ratio(value), text);
        }
    }
}
