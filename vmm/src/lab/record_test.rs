//! The documented schema of a record, the page that explains it, and the type agree.

use serde_json::{Value, json};

use super::super::metrics;
use super::*;

const SCHEMA_TEXT: &str = include_str!("../../../docs/reference/experiment-record.schema.json");
const REFERENCE: &str = include_str!("../../../docs/reference/experiments.md");

fn faults(value: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(SCHEMA_TEXT).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults = validator.iter_errors(value);
    faults.map(|fault| fault.to_string()).collect()
}

/// A run report with all that a metric is made of.
fn report() -> Value {
    let mut report = json!({"violations": {"fifo": 1}, "seconds": 2.0});
    for (pointer, number) in metrics::pointers().zip(1..) {
        let mut place = &mut report;
        for key in pointer.split('/').skip(1) {
            place = &mut place[key];
        }
        if place.is_null() {
            *place = number.into();
        }
    }
    report["fairness"]["jain"] = 0.5.into();
    report
}

fn record(ending: RunEnding) -> Record {
    let pairs = |of: &[(&str, &str)]| {
        let owned = of.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        owned.collect()
    };
    Record {
        schema: SCHEMA.to_owned(),
        experiment: "overcommit".to_owned(),
        spec: "0123456789abcdef0123456789abcdef".to_owned(),
        run: 17,
        cell: 3,
        repetition: 1,
        factors: pairs(&[("lock", "ticket"), ("vcpus", "8")]),
        seed: (1 << 53) - 1,
        started_unix_ms: 1_700_000_000_000,
        ending,
        metrics: metrics::of(&report()),
        provenance: Provenance {
            host: "0123456789ab".to_owned(),
            host_kind: Kind::Vmx,
            kernel: "6.12.0".to_owned(),
            cpu_model: "a processor".to_owned(),
            host_cpus: 2,
            kvm_parameters: pairs(&[("kvm_intel.ple_gap", "128")]),
            version: "0.1.0".to_owned(),
            revision: "unknown".to_owned(),
            profile: "release".to_owned(),
            pause_ns: 12.5,
            load_1min: 0.0,
        },
    }
}

fn records() -> Vec<Record> {
    use Outcome::{Completed, Crashed, Hung, Migrated, Stopped, Timeout, Violated};
    let outcomes = [
        Completed, Violated, Hung, Crashed, Timeout, Stopped, Migrated,
    ];
    let reported = outcomes.map(|outcome| record(RunEnding::Reported { outcome }));
    let failed = record(RunEnding::Failed {
        why: "ended by signal 9".to_owned(),
    });
    let nothing = Record {
        metrics: BTreeMap::new(),
        ..failed.clone()
    };
    reported.into_iter().chain([failed, nothing]).collect()
}

/// JSON pointers of all fields of `value`; names below `metrics`, `factors` and the like are data.
fn fields(value: &Value, at: &str) -> Vec<String> {
    const FREE: [&str; 3] = ["/metrics", "/factors", "/provenance/kvm_parameters"];
    let Some(here) = value.as_object().filter(|_| !FREE.contains(&at)) else {
        return Vec::new();
    };
    here.iter()
        .flat_map(|(name, inner)| {
            let path = format!("{at}/{name}");
            let below = fields(inner, &path);
            std::iter::once(path).chain(below)
        })
        .collect()
}

fn without(value: &Value, path: &str) -> Value {
    let mut value = value.clone();
    let (parent, name) = path.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap();
    parent.as_object_mut().unwrap().remove(name);
    value
}

#[test]
fn every_record_fits_the_schema_and_survives_json() {
    for record in records() {
        let value = serde_json::to_value(&record).unwrap();
        assert_eq!(faults(&value), Vec::<String>::new());
        assert_eq!(serde_json::from_value::<Record>(value).unwrap(), record);
    }
}

#[test]
fn a_field_that_is_missing_or_new_is_no_longer_the_schema() {
    for record in records() {
        let value = serde_json::to_value(&record).unwrap();
        for path in fields(&value, "") {
            assert!(!faults(&without(&value, &path)).is_empty(), "{path}");
        }
        for place in ["", "/ending", "/provenance", "/metrics"] {
            let mut value = value.clone();
            value.pointer_mut(place).unwrap()["novelty"] = 1.into();
            assert!(!faults(&value).is_empty(), "{place}");
        }
    }
}

#[test]
fn every_field_and_every_metric_is_documented_and_no_other_metric() {
    for record in records() {
        let value = serde_json::to_value(&record).unwrap();
        for path in fields(&value, "") {
            let name = path.rsplit('/').next().unwrap();
            let named = [format!("`{name}`"), format!(".{name}`")];
            assert!(named.iter().any(|text| REFERENCE.contains(text)), "{path}");
        }
    }
    let (_, below) = REFERENCE.split_once("### Metrics").unwrap();
    let rows = below.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| {
        let cell = row.trim_start_matches('|').split('|').next().unwrap();
        cell.split('`').skip(1).step_by(2)
    });
    let mut documented: Vec<_> = names.collect();
    documented.sort_unstable();
    let measured = metrics::of(&report());
    assert_eq!(documented, measured.keys().collect::<Vec<_>>());
}
