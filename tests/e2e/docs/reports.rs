//! The references of reports and exit codes.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use vmm::cli::Exit;
use vmm::host::checks;
use vmm_tests::command::{Vmm, skip};

use super::{page, rows};

#[test]
fn the_doctor_page_has_every_check() {
    let reference = page("docs/reference/doctor.md");
    let described: BTreeSet<_> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(" |").next())
        .flat_map(|cell| cell.split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .filter(|name| !name.starts_with("host.") && !name.starts_with("checks[]"))
        .filter(|name| name != "schema")
        .collect();
    let checks: BTreeSet<_> = checks::TABLE
        .iter()
        .map(|check| check.id.to_owned())
        .collect();
    assert_eq!(described, checks);
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let described: Vec<_> = rows(&page("docs/reference/exit-codes.md"))
        .iter()
        .map(|row| row[0].parse::<u8>().unwrap())
        .collect();
    let codes = [
        Exit::Done,
        Exit::CheckFailed,
        Exit::Usage,
        Exit::Host,
        Exit::GuestCrashed,
    ];
    assert_eq!(described, codes.map(u8::from));
}

/// Validates what `command --json -` writes.
fn assert_output_fits(command: &str, schema: &str) {
    if !Path::new("/dev/kvm").exists() {
        return skip(command, "there is no /dev/kvm");
    }
    let schema: Value = serde_json::from_str(&page(schema)).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let finished = Vmm::new(command).words("--json -").finish();
    let output: Value = serde_json::from_str(&finished.stdout).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(&output)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(finished.code, 0, "{finished}");
}

#[test]
fn the_doctors_answers_fit_their_schema() {
    assert_output_fits("doctor", "docs/reference/doctor.schema.json");
}

#[test]
fn the_conformance_findings_fit_their_schema() {
    let schema = "docs/reference/conformance.schema.json";
    assert_output_fits("conformance --case unknown-id --case id-above-254", schema);
}
