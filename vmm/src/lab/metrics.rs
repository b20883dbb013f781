//! What is measured in a run, taken from its report.

use std::collections::BTreeMap;

use serde_json::Value;

/// Metrics and where a run report has them. A rate is a count over the report's `seconds`.
const TAKEN: [(&str, &str, Scale); 15] = [
    (
        "acquisitions_per_second",
        "/acquisitions_per_s",
        Scale::AsIs,
    ),
    ("wait_p50_ns", "/wait_ns/p50", Scale::AsIs),
    ("wait_p99_ns", "/wait_ns/p99", Scale::AsIs),
    ("wait_max_ns", "/wait_ns/max", Scale::AsIs),
    ("fairness_jain", "/fairness/jain", Scale::AsIs),
    ("kicks_per_second", "/guest/kicks_sent", Scale::PerSecond),
    ("halts_per_second", "/guest/halts", Scale::PerSecond),
    // The guest's count, where it has one, is of the time that is measured.
    ("spin_exits_per_second", "/ple/spin_exits", Scale::PerSecond),
    (
        "spin_exits_per_second",
        "/guest/spin_exits",
        Scale::PerSecond,
    ),
    ("kick_p50_ns", "/kick_p50_ns", Scale::AsIs),
    ("kick_p99_ns", "/kick_p99_ns", Scale::AsIs),
    ("kick_max_ns", "/kick_max_ns", Scale::AsIs),
    ("switches_per_second", "/sched/switches", Scale::PerSecond),
    ("hand_over_p50_ns", "/sched/hand_over_p50_ns", Scale::AsIs),
    ("seconds", "/seconds", Scale::AsIs),
];

#[derive(Clone, Copy)]
enum Scale {
    AsIs,
    PerSecond,
}

/// The metrics of a run report; what it has not is absent.
pub(super) fn of(report: &Value) -> BTreeMap<String, f64> {
    let seconds = report.pointer("/seconds").and_then(Value::as_f64);
    let seconds = seconds.filter(|seconds| *seconds > 0.0);
    let mut metrics = BTreeMap::new();
    for (name, pointer, scale) in TAKEN {
        let number = report.pointer(pointer).and_then(Value::as_f64);
        let value = number.and_then(|number| match scale {
            Scale::AsIs => Some(number),
            Scale::PerSecond => seconds.map(|seconds| number / seconds),
        });
        if let Some(value) = value {
            metrics.insert(name.to_owned(), value);
        }
    }
    if let Some(kinds) = report.pointer("/violations").and_then(Value::as_object) {
        let total = kinds.values().filter_map(Value::as_f64).sum();
        metrics.insert("violations".to_owned(), total);
    }
    metrics
}

/// Where a report has what metrics are made of.
#[cfg(test)]
pub(super) fn pointers() -> impl Iterator<Item = &'static str> {
    TAKEN.iter().map(|(_, pointer, _)| *pointer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_gives_what_it_has_and_no_more() {
        let report = json!({
            "seconds": 2.0,
            "acquisitions_per_s": 5000.0,
            "wait_ns": {"p50": 10, "p99": 20, "max": 30},
            "fairness": null,
            "violations": {"fifo": 1, "io_lost": 2},
            "guest": {"kicks_sent": 8, "halts": 6},
            "sched": {"switches": 100},
        });
        let expected = [
            ("acquisitions_per_second", 5000.0),
            ("halts_per_second", 3.0),
            ("kicks_per_second", 4.0),
            ("seconds", 2.0),
            ("switches_per_second", 50.0),
            ("violations", 3.0),
            ("wait_max_ns", 30.0),
            ("wait_p50_ns", 10.0),
            ("wait_p99_ns", 20.0),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(of(&report), BTreeMap::from(expected));
    }

    #[test]
    fn no_rate_is_infinite() {
        let report = json!({"seconds": 0.0, "guest": {"halts": 6}});
        assert_eq!(of(&report), BTreeMap::from([("seconds".to_owned(), 0.0)]));
    }
}
