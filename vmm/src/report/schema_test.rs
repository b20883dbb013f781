//! The documented schema and the types agree.

use guest_payload::abi::HISTO_BLOCKED_BUCKETS;
use serde_json::Value;

use super::crash::{CrashReason, Registers};
use super::hex::Hex;
use super::run::RunReport;
use super::sample::{completed, crashed, hung, scheduled, with_ple};

const SCHEMA: &str = include_str!("../../../docs/reference/run-report.schema.json");
const REFERENCE: &str = include_str!("../../../docs/reference/report.md");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn json(report: &RunReport) -> Value {
    serde_json::to_value(report).unwrap()
}

fn faults(value: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    validator
        .iter_errors(value)
        .map(|error| error.to_string())
        .collect()
}

/// Paths of all fields of `value`, as JSON pointers.
fn fields(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields_here) => {
            for (name, inner) in fields_here {
                let path = format!("{at}/{name}");
                fields(inner, &path, found);
                found.push(path);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                fields(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn remove(value: &mut Value, path: &str) {
    let (parent, name) = path.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.remove(name);
}

#[test]
fn the_schema_is_a_schema() {
    assert!(jsonschema::meta::is_valid(&schema()));
}

#[test]
fn every_report_is_valid_and_survives_json() {
    for report in [completed(), hung(), scheduled(), crashed(), with_ple()] {
        let value = json(&report);
        assert_eq!(faults(&value), Vec::<String>::new());
        assert_eq!(serde_json::from_value::<RunReport>(value).unwrap(), report);
    }
}

#[test]
fn every_crash_reason_is_valid() {
    let reasons = [
        CrashReason::TripleFault,
        CrashReason::EmulationFailure,
        CrashReason::InternalError { suberror: 3 },
        CrashReason::FailEntry {
            hardware_reason: Hex(0x8000_0021),
        },
        CrashReason::GuestException {
            vector: 14,
            error_code: Hex(0),
            rip: Hex(u64::MAX),
            cr2: Hex(0),
        },
        CrashReason::GuestPanic,
    ];
    for reason in reasons {
        let mut report = crashed();
        let crash = report.crash.as_mut().unwrap();
        crash.reason = reason;
        crash.registers = Registers {
            bits: 16,
            ..Registers::default()
        };
        crash.instruction = None;
        crash.instruction_bytes.0.clear();
        assert_eq!(faults(&json(&report)), Vec::<String>::new());
    }
}

#[test]
fn the_greatest_counters_are_valid() {
    let mut report = completed();
    report.exits.insert("io".into(), u64::MAX);
    report.config.memory_bytes = u64::MAX;
    assert_eq!(faults(&json(&report)), Vec::<String>::new());
}

/// Names under these are data, not fields.
const FREE: [&str; 4] = [
    "/exits/",
    "/kvm_stats/",
    "/ple/parameters/",
    "/ple/tracepoints/",
];

/// Fields that a report may be without.
const OPTIONAL: [&str; 7] = [
    "/sched",
    "/hang",
    "/crash",
    "/ple",
    "/ple/tracepoints",
    "/ple/no_tracepoints",
    "/kick_faults",
];

#[test]
fn a_field_that_is_missing_or_new_is_no_longer_the_schema() {
    for report in [completed(), hung(), scheduled(), crashed(), with_ple()] {
        let whole = json(&report);
        let mut paths = Vec::new();
        fields(&whole, "", &mut paths);
        paths.retain(|path| !FREE.iter().any(|free| path.starts_with(free)));
        for path in paths {
            if OPTIONAL.contains(&path.as_str()) || path.ends_with("/on_pcpu") {
                continue;
            }
            let mut value = whole.clone();
            remove(&mut value, &path);
            assert!(!faults(&value).is_empty(), "without {path}");
        }
        let mut value = whole.clone();
        value["novelty"] = 1.into();
        assert!(!faults(&value).is_empty());
    }
}

#[test]
fn all_or_none_of_the_payloads_fields() {
    let value = json(&crashed());
    for name in ["acquisitions", "violations", "wait_ns", "fairness", "guest"] {
        assert_eq!(value.get(name), None);
    }
    assert_eq!(value["config"].get("lock"), None);
}

#[test]
fn the_histogram_has_the_guests_size() {
    let size = &schema()["$defs"]["guest"]["properties"]["histo_blocked"]["maxItems"];
    assert_eq!(*size, HISTO_BLOCKED_BUCKETS);
}

#[test]
fn every_field_is_documented() {
    let mut paths = Vec::new();
    for report in [completed(), hung(), scheduled(), crashed(), with_ple()] {
        fields(&json(&report), "", &mut paths);
    }
    paths.retain(|path| !FREE.iter().any(|free| path.starts_with(free)));
    // `rax` to `r15` are one range in the text.
    paths.retain(|path| !path.starts_with("/crash/registers/r"));
    for path in paths {
        let name = path.rsplit('/').next().unwrap();
        let named = [
            format!("`{name}`"),
            format!("`{name}."),
            format!(".{name}`"),
        ];
        assert!(named.iter().any(|text| REFERENCE.contains(text)), "{path}");
    }
}

#[test]
fn every_outcome_is_documented_with_its_exit_code() {
    let outcomes = &schema()["properties"]["outcome"]["enum"];
    for outcome in outcomes.as_array().unwrap() {
        let outcome: super::run::Outcome = serde_json::from_value(outcome.clone()).unwrap();
        let name = serde_json::to_value(outcome).unwrap();
        let row = format!("| {} |", u8::from(crate::cli::Exit::from(outcome)));
        let row = REFERENCE
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", name.as_str().unwrap())))
            .map(|line| line.ends_with(&row));
        assert_eq!(row, Some(true), "{name}");
    }
}
