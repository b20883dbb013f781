//! What is measured, how it is written, and which way is better.

use super::value;
use crate::report::units;

/// Throughput: what every experiment is about.
pub(super) const THROUGHPUT: &str = "acquisitions_per_second";

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    /// More of it.
    More,
    /// Less of it.
    Less,
    /// Neither: it explains.
    Neither,
}

/// How a metric's values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Nanoseconds.
    Ns,
    /// A rate.
    PerSecond,
    /// Seconds.
    Seconds,
    /// A number without a unit.
    Plain,
}

/// What is known of a metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    /// Its name in the results.
    pub name: &'static str,
    /// Its name for a reader.
    pub title: &'static str,
    /// How it is written.
    pub unit: Unit,
    /// Which way is better.
    pub better: Better,
    /// What has more of it does so.
    pub more: &'static str,
    /// What has less of it does so.
    pub less: &'static str,
}

const fn metric(
    name: &'static str,
    title: &'static str,
    unit: Unit,
    better: Better,
    more: &'static str,
    less: &'static str,
) -> Metric {
    Metric {
        name,
        title,
        unit,
        better,
        more,
        less,
    }
}

/// The metrics that are known, in the order in which they are shown.
pub(super) const TABLE: [Metric; 15] = {
    use Better::{Less, More, Neither};
    use Unit::{Ns, PerSecond, Plain, Seconds};
    [
        metric(
            THROUGHPUT,
            "locks taken a second",
            PerSecond,
            More,
            "faster",
            "slower",
        ),
        metric(
            "wait_p50_ns",
            "wait for a lock, median",
            Ns,
            Less,
            "longer",
            "shorter",
        ),
        metric(
            "wait_p99_ns",
            "wait for a lock, 99 %",
            Ns,
            Less,
            "longer",
            "shorter",
        ),
        metric(
            "wait_max_ns",
            "wait for a lock, longest",
            Ns,
            Less,
            "longer",
            "shorter",
        ),
        metric(
            "fairness_jain",
            "fairness (Jain)",
            Plain,
            More,
            "fairer",
            "less fair",
        ),
        metric(
            "kick_p50_ns",
            "time of a kick, median",
            Ns,
            Less,
            "longer",
            "shorter",
        ),
        metric(
            "kick_p99_ns",
            "time of a kick, 99 %",
            Ns,
            Less,
            "longer",
            "shorter",
        ),
        metric(
            "kick_max_ns",
            "time of a kick, longest",
            Ns,
            Less,
            "longer",
            "shorter",
        ),
        metric(
            "kicks_per_second",
            "kicks a second",
            PerSecond,
            Neither,
            "more",
            "fewer",
        ),
        metric(
            "halts_per_second",
            "halts a second",
            PerSecond,
            Neither,
            "more",
            "fewer",
        ),
        metric(
            "spin_exits_per_second",
            "spin exits a second",
            PerSecond,
            Neither,
            "more",
            "fewer",
        ),
        metric(
            "switches_per_second",
            "token switches a second",
            PerSecond,
            Neither,
            "more",
            "fewer",
        ),
        metric(
            "hand_over_p50_ns",
            "token hand-over, median",
            Ns,
            Less,
            "longer",
            "shorter",
        ),
        metric("violations", "violations", Plain, Less, "more", "fewer"),
        metric(
            "seconds",
            "seconds measured",
            Seconds,
            Neither,
            "longer",
            "shorter",
        ),
    ]
};

/// Place of `name` in [`TABLE`]; what is not in it comes behind.
pub(super) fn place(name: &str) -> usize {
    TABLE
        .iter()
        .position(|metric| metric.name == name)
        .unwrap_or(TABLE.len())
}

/// What is known of `name`.
pub(super) fn known(name: &str) -> Option<&'static Metric> {
    TABLE.get(place(name))
}

/// The metric's name for a reader.
pub(super) fn title(name: &str) -> &str {
    known(name).map_or(name, |metric| metric.title)
}

fn unit(name: &str) -> Unit {
    match known(name) {
        Some(metric) => metric.unit,
        None if name.ends_with("_ns") => Unit::Ns,
        None if name.ends_with("_per_second") => Unit::PerSecond,
        None => Unit::Plain,
    }
}

/// `value` of the metric `name`, with its unit.
pub(super) fn write(name: &str, value: f64) -> String {
    let is_size = (0.0..1e18).contains(&value);
    match unit(name) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 10^18"
        )]
        Unit::Ns if is_size => units::ns(value.round() as u64),
        Unit::PerSecond if is_size => units::per_second(value),
        Unit::Seconds => format!("{} s", value::digits(value)),
        _ => value::digits(value),
    }
}
