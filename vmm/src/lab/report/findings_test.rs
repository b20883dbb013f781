use std::collections::BTreeMap;

use super::super::layout::layout;
use super::super::made::{Factors, study};
use super::finding::Met;
use super::*;

type Cell = BTreeMap<String, String>;

fn findings(study: &Study) -> Vec<Finding> {
    of(study, &layout(study))
}

fn one<'a>(findings: &'a [Finding], words: &str) -> &'a Finding {
    let mut found = findings
        .iter()
        .filter(|finding| finding.text.contains(words));
    let one = found
        .next()
        .unwrap_or_else(|| panic!("no {words} in {findings:#?}"));
    assert!(found.next().is_none(), "{words} twice in {findings:#?}");
    one
}

fn met(finding: &Finding) -> Met {
    finding.target.as_ref().unwrap().met
}

const PLE: Factors<'_> = &[
    ("lock", &["ticket", "pv-ticket-head"]),
    ("ple", &["off", "soft"]),
    ("on-spin", &["none", "sleep", "kick-yield", "handshake"]),
    ("vcpus", &["2", "8"]),
    ("pcpus", &["2"]),
];

fn ple(rate: impl Fn(&Cell) -> f64) -> Study {
    let study = study("ple", PLE, |cell| {
        (cell["ple"] != "off" || cell["on-spin"] == "none").then(|| rate(cell))
    });
    study.against("ple", "off").against("on-spin", "none")
}

#[test]
fn the_interference_is_the_worst_handler_of_a_pv_lock() {
    let findings = findings(&ple(|cell| {
        match (cell["lock"].as_str(), cell["on-spin"].as_str()) {
            ("pv-ticket-head", "sleep") if cell["vcpus"] == "8" => 500.0,
            ("pv-ticket-head", "kick-yield") => 900.0,
            // Not a PV lock: no interference.
            ("ticket", "sleep") => 10.0,
            _ => 1000.0,
        }
    }));
    let finding = one(&findings, "The interference");
    assert_eq!(met(finding), Met::Yes);
    assert!(
        finding.text.contains("3 of 4 combinations"),
        "{}",
        finding.text
    );
    assert!(
        finding
            .text
            .contains("At 8 vCPUs on 2 pCPUs, pv-ticket-head: sleep takes 0.500x"),
        "{}",
        finding.text
    );
}

#[test]
fn no_interference_is_said_too() {
    let findings = findings(&ple(|_| 1000.0));
    let finding = one(&findings, "The interference: none of 4");
    assert_eq!((met(finding), finding.weight), (Met::No, Weight::Headline));
}

#[test]
fn handshake_is_held_against_best_and_worst() {
    let rate = |ours: f64| {
        move |cell: &Cell| match cell["on-spin"].as_str() {
            "handshake" => ours,
            "sleep" => 400.0,
            "kick-yield" => 1000.0,
            _ => 800.0,
        }
    };
    let good = findings(&ple(rate(1000.0)));
    let best = one(&good, "Handshake against the best");
    assert!(
        best.text
            .contains("faster in 0 of 4 places, no difference shown in 4, slower in 0")
    );
    assert_eq!(met(best), Met::Yes);
    let worst = one(&good, "Handshake against the worst");
    assert!(
        worst
            .text
            .contains("differ in 4 of 4 places, where it takes 2.50x to 2.50x"),
        "{}",
        worst.text
    );
    assert_eq!(met(worst), Met::Yes);

    let bad = findings(&ple(rate(500.0)));
    assert_eq!(met(one(&bad, "Handshake against the best")), Met::No);
    assert_eq!(met(one(&bad, "Handshake against the worst")), Met::No);
}

#[test]
fn a_yielding_kick_is_told_with_its_gain_and_its_cost() {
    let factors: Factors<'_> = &[
        ("kick-yield", &["off", "on"]),
        ("vcpus", &["2", "8"]),
        ("pcpus", &["2"]),
    ];
    let mut study = study("kick-yield", factors, |cell| {
        Some(if cell["kick-yield"] == "on" {
            1200.0
        } else {
            1000.0
        })
    });
    for cell in &mut study.cells {
        let kick = if cell.factor("kick-yield") == "on" {
            4000.0
        } else {
            1000.0
        };
        for run in &mut cell.runs {
            run.metrics.insert("kick_p50_ns".to_owned(), kick);
        }
    }
    let findings = findings(&study.against("kick-yield", "off"));
    let finding = one(&findings, "At 8 vCPUs on 2 pCPUs: with a yield in the kick");
    assert_eq!(finding.weight, Weight::Headline);
    assert!(
        finding
            .text
            .contains("taken 1.20x (1.20x to 1.20x, 94 % sure) as often"),
        "{}",
        finding.text
    );
    assert!(
        finding
            .text
            .contains("4.00x (4.00x to 4.00x, 94 % sure) as long (1.00 µs without, 4.00 µs with"),
        "{}",
        finding.text
    );
}

#[test]
fn an_experiment_of_ones_own_is_told_by_its_baseline() {
    let factors: Factors<'_> = &[("hold", &["1", "10", "100"]), ("lock", &["ticket", "tas"])];
    let study = study("mine", factors, |cell| {
        Some(if cell["lock"] == "tas" { 300.0 } else { 100.0 })
    });
    let findings = findings(&study.against("lock", "ticket"));
    let last = one(&findings, "With hold 100: tas takes 3.00x");
    assert_eq!((last.weight, last.target.clone()), (Weight::Headline, None));
    assert_eq!(one(&findings, "With hold 1: tas").weight, Weight::Detail);
}

/// Lets every run go wrong of the cells that `is_lost` picks.
fn lose(study: &mut Study, is_lost: impl Fn(&Cell) -> bool) {
    let lost = |cell: &&mut super::super::cell::Cell| is_lost(&cell.factors);
    for run in study
        .cells
        .iter_mut()
        .filter(lost)
        .flat_map(|cell| &mut cell.runs)
    {
        run.ending = crate::lab::record::RunEnding::Failed {
            why: "hung".to_owned(),
        };
    }
}

#[test]
fn a_place_where_every_run_of_handshake_went_wrong_is_a_miss() {
    let mut study = ple(|_| 1000.0);
    lose(&mut study, |cell| {
        cell["on-spin"] == "handshake" && cell["vcpus"] == "8" && cell["lock"] == "ticket"
    });
    let findings = findings(&study);
    let best = one(&findings, "Handshake against the best");
    assert_eq!(met(best), Met::No);
    assert!(
        best.text.contains("of 4 places") && best.text.contains("all its runs went wrong in 1"),
        "{}",
        best.text
    );
    assert_eq!(met(one(&findings, "Handshake against the worst")), Met::No);
}

#[test]
fn few_runs_and_missing_runs_leave_a_target_open() {
    let mut few = ple(|_| 1000.0);
    for cell in &mut few.cells {
        cell.runs.truncate(3);
    }
    let mut missing = ple(|_| 1000.0);
    missing.missing = vec![(9, 9)];
    for study in [few, missing] {
        let findings = findings(&study);
        for words in [
            "The interference",
            "Handshake against the best",
            "Handshake against the worst",
        ] {
            assert_eq!(met(one(&findings, words)), Met::Open, "{words}");
        }
    }
}

#[test]
fn runs_on_two_hosts_are_no_pairs() {
    let factors: Factors<'_> = &[("lock", &["ticket", "tas"])];
    let mut study = study("mine", factors, |_| Some(1000.0)).against("lock", "ticket");
    assert_eq!(findings(&study).len(), 1);
    for run in &mut study.cells[1].runs {
        run.provenance.host = "another".to_owned();
    }
    assert_eq!(findings(&study), []);
}
