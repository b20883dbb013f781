//! `vmm conformance`: every combination the host supports answers as KVM does.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot prepare its case has to fail"
)]

use std::collections::BTreeSet;
use std::process::{Command, Output};

use guest_payload::conformance::Case;
use serde_json::Value;

fn vmm(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmm"))
        .args(line.split_whitespace())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The findings of a run that must have passed.
fn findings(line: &str) -> Vec<Value> {
    let output = vmm(line);
    let table = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{table}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schema"], "vmm.conformance/1");
    assert!(json["host"]["kind"].is_string());
    json["results"].as_array().unwrap().clone()
}

fn of<'a>(results: &'a [Value], kick: &str, halt: &str) -> Vec<&'a Value> {
    results
        .iter()
        .filter(|found| found["kick"] == kick && found["halt"] == halt)
        .collect()
}

fn cases(results: &[&Value]) -> BTreeSet<String> {
    results
        .iter()
        .map(|found| found["case"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_case_passes_wherever_it_can_run_and_the_others_say_why_not() {
    let results = findings("conformance --json -");
    let all: BTreeSet<String> = Case::ALL.iter().map(|c| c.name().to_owned()).collect();
    for halt in ["kvm", "vmm"] {
        let by_vmm = of(&results, "vmm", halt);
        assert_eq!(cases(&by_vmm), all);
        for found in by_vmm {
            assert_eq!(found["result"], "pass", "{found}");
            assert_eq!(found["seen"], found["expected"], "{found}");
            assert!(found["reason"].is_null(), "{found}");
        }
    }
    let by_kvm = of(&results, "kvm", "kvm");
    assert_eq!(cases(&by_kvm), all);
    let verdicts: BTreeSet<_> = by_kvm.iter().map(|f| f["result"].as_str()).collect();
    assert_eq!(verdicts.len(), 1, "all or none: {verdicts:?}");
    let impossible = of(&results, "kvm", "vmm");
    assert_eq!(cases(&impossible), all);
    for found in by_kvm.iter().chain(&impossible) {
        if found["result"] == "skip" {
            let reason = found["reason"].as_str().unwrap();
            assert!(reason.contains("--kick kvm"), "{found}");
        } else {
            assert_eq!(found["result"], "pass", "{found}");
        }
    }
    assert!(impossible.iter().all(|found| found["result"] == "skip"));
}

#[test]
fn each_case_runs_in_both_apic_modes_but_the_one_that_needs_x2apic() {
    let results = findings("conformance --kick vmm --halt vmm --json -");
    for case in Case::ALL {
        let modes: Vec<_> = results
            .iter()
            .filter(|found| found["case"] == case.name())
            .map(|found| found["apic"].as_str().unwrap())
            .collect();
        let expected: &[_] = match case {
            Case::IdAbove254 => &["x2apic"],
            _ => &["xapic", "x2apic"],
        };
        assert_eq!(modes, expected, "{}", case.name());
    }
}

#[test]
fn one_case_can_be_asked_for_and_the_table_names_the_host() {
    let output = vmm("conformance --case cpl3 --kick vmm --halt vmm");
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}");
    let heading = table.lines().next().unwrap();
    assert!(heading.contains(" host, Linux "), "{heading}");
    let passed: Vec<_> = table.lines().filter(|l| l.starts_with("PASS")).collect();
    assert_eq!(passed.len(), 2, "{table}");
    assert!(passed.iter().all(|line| line.contains("cpl3")));
}

#[test]
fn a_combination_that_no_host_can_run_is_the_hosts_limit() {
    let output = vmm("conformance --kick kvm --halt vmm");
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{table}");
    assert!(table.contains("KVM's kick wakes nobody"), "{table}");
}

#[test]
fn an_unknown_case_is_a_wrong_command_line() {
    for line in [
        "conformance --case known",
        "run -- mode=conformance cases=known-id,known",
    ] {
        let output = vmm(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text(&output.stderr).contains("known"), "{line}");
    }
}

#[test]
fn the_guest_reports_on_its_serial_port_under_any_command() {
    let output = vmm("run --kick vmm -- mode=conformance cases=known-id,unknown-number");
    let lines: Vec<_> = text(&output.stdout)
        .lines()
        .filter(|line| line.starts_with("conformance: "))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        lines,
        [
            "conformance: known-id expected sleeps,0,wakes seen sleeps,0,wakes PASS",
            "conformance: unknown-number expected -1000 seen -1000 PASS",
            "conformance: done PASS",
        ]
    );
}

#[test]
fn the_reference_lists_every_case_with_what_is_expected() {
    let reference = include_str!("../../docs/reference/conformance.md");
    for case in Case::ALL {
        let facts = vmm::conformance::lines::facts(*case);
        let row = format!("| `{}` | {facts} |", case.name());
        assert!(reference.contains(&row), "{row}");
    }
}
