//! The reference of experiments.

use std::collections::BTreeSet;

use guest_payload::args::KEYS;
use vmm::cli::described_run;
use vmm::lab::factor::Names;
use vmm::lab::{SpecError, keys};
use vmm_tests::command::Vmm;

use super::{code, page, rows, section};

/// Options of `vmm run` and arguments of the payload.
fn names_of_factors() -> Names {
    Names::of(&described_run())
}

#[test]
fn the_built_in_experiments_are_those_that_are_listed() {
    let reference = page("docs/reference/experiments.md");
    let rows = rows(section(&reference, "## Built in"));
    let listed = Vmm::new("experiment --list").finish();
    let lines = rows
        .iter()
        .map(|row| format!("{:12} {}\n", code(&row[0]).unwrap(), row[1]));
    assert_eq!(lines.collect::<String>(), listed.stdout, "{listed}");
}

#[test]
fn the_experiments_page_has_every_key_and_what_is_no_factor() {
    let reference = page("docs/reference/experiments.md");
    let keys = section(&reference, "## The specification");
    let keys = rows(keys.split("\n### ").next().unwrap());
    let described: Vec<_> = keys.iter().map(|row| code(&row[0]).unwrap()).collect();
    assert_eq!(described, keys::KEYS);
    let (_, kept) = reference.split_once("Not factors are:").unwrap();
    let kept = rows(kept.split("\n### ").next().unwrap());
    let kept: BTreeSet<_> = kept
        .iter()
        .flat_map(|row| row[0].split('`').skip(1).step_by(2))
        .collect();
    let names = names_of_factors();
    let run = described_run();
    let options = run.get_arguments().filter_map(|option| option.get_long());
    let arguments = KEYS.trim_start_matches("one of ").split(',').map(str::trim);
    let known: BTreeSet<_> = options.chain(arguments).collect();
    for name in &known {
        let is_kept = matches!(names.knob(name), Err(SpecError::Kept { .. }));
        assert_eq!(is_kept, kept.contains(name), "{name}");
    }
    // `guest` is the argument of `vmm run` that is no option.
    for name in kept.iter().filter(|name| **name != "guest") {
        assert!(known.contains(name), "{name}");
    }
}
