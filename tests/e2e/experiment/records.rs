//! Every run is recorded with all that made it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use vmm::lab::record::{Record, RunEnding};
use vmm::report::run::Outcome;
use vmm_tests::command::Vmm;

use super::{Case, TINY, assert_done, numbers};

#[test]
fn every_run_is_a_record_with_all_that_made_it() {
    let case = Case::new("whole", TINY);
    let finished = case.vmm("").finish();
    assert_done(&finished);
    let records = case.records();
    assert_eq!(numbers(&records), [0, 1, 2, 3, 4, 5, 6, 7]);
    let mut seeds: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut cells = BTreeSet::new();
    for record in &records {
        let completed = RunEnding::Reported {
            outcome: Outcome::Completed,
        };
        assert_eq!(record.ending, completed);
        assert!(record.metrics["acquisitions_per_second"] > 0.0);
        assert_eq!(record.metrics["violations"], 0.0);
        assert!(record.provenance.pause_ns > 0.0);
        assert!(!record.provenance.revision.is_empty());
        assert_eq!(record.experiment, "tiny");
        assert_eq!(record.factors["memory"], "16M");
        seeds
            .entry(record.repetition)
            .or_default()
            .insert(record.seed);
        cells.insert((record.repetition, record.cell, record.factors.clone()));
    }
    assert_eq!(cells.len(), 8);
    // The runs of a repetition are pairs, those of two are not.
    assert!(seeds.values().all(|seeds| seeds.len() == 1));
    assert_ne!(seeds[&0], seeds[&1]);
    let rows = finished
        .stdout
        .lines()
        .filter(|line| line.starts_with("lock="));
    assert_eq!(rows.count(), 4, "{finished}");

    let before = case.results();
    let again = case.vmm("").finish();
    assert_done(&again);
    assert!(again.stderr.contains("8 of them done before"), "{again}");
    assert_eq!(case.results(), before);
}

#[test]
fn the_folder_has_the_specification_as_it_was_carried_out() {
    let case = Case::new("resolved", TINY);
    assert_done(
        &case
            .vmm("--repetitions 1 --seconds 0.01 --set vcpus=1")
            .finish(),
    );
    let resolved = case.folder.path("out/spec.toml");
    let text = fs::read_to_string(&resolved).unwrap();
    assert!(text.contains("repetitions = 1\n"), "{text}");
    assert!(text.contains("vcpus = 1\n"), "{text}");
    // It is a specification itself, and the same one.
    let again = Vmm::new("experiment").arg(&resolved).arg("-o");
    let again = again.arg(case.folder.path("out")).finish();
    assert_done(&again);
    assert!(again.stderr.contains("2 of them done before"), "{again}");
}

#[test]
fn a_run_that_goes_wrong_is_a_result() {
    let spec = "lock = \"ticket\"\nvcpus = [2, 5000]\nseconds = 60\ntimeout = 0.2\nrepetitions = 1";
    let case = Case::new("wrong", spec);
    let finished = case.vmm("").finish();
    assert_done(&finished);
    let mut endings = BTreeMap::new();
    for record in case.records() {
        endings.insert(record.factors["vcpus"].clone(), record.ending);
    }
    let timeout = RunEnding::Reported {
        outcome: Outcome::Timeout,
    };
    assert_eq!(endings["2"], timeout);
    let RunEnding::Failed { why } = &endings["5000"] else {
        panic!("{endings:?}");
    };
    assert!(why.contains("5000"), "{why}");
    assert!(finished.stdout.contains("1 timed out"), "{finished}");
    assert!(finished.stdout.contains("1 failed"), "{finished}");
}

#[test]
fn a_lost_kick_is_a_result() {
    // Short enough for a waiter to halt at once. A single lost kick need not hurt, a share of all does.
    let spec = "lock = \"pv-ticket-head\"\nvcpus = 4\nkick = \"vmm\"\nkick-fault = \"drop=0.2\"\nring = 3\n\
                threshold = 1\nhold = 100\nthink = 10\nmortal = 0\nseconds = 60\nrepetitions = 1";
    let case = Case::new("hung", spec);
    assert_done(&case.vmm("").finish());
    let hung = RunEnding::Reported {
        outcome: Outcome::Hung,
    };
    assert_eq!(case.records()[0].ending, hung);
}

#[test]
fn a_record_fits_its_schema_and_has_no_field_that_its_reader_does_not_know() {
    const SCHEMA: &str = include_str!("../../../docs/reference/experiment-record.schema.json");
    let validator = jsonschema::draft202012::new(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let case = Case::new("fields", TINY);
    assert_done(&case.vmm("--set vcpus=1 --repetitions 1").finish());
    for line in String::from_utf8(case.results()).unwrap().lines() {
        let raw: Value = serde_json::from_str(line).unwrap();
        let faults: Vec<_> = validator
            .iter_errors(&raw)
            .map(|fault| fault.to_string())
            .collect();
        assert!(faults.is_empty(), "{faults:?}");
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_value(record).unwrap(), raw);
    }
}
