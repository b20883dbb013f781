//! The layouts of the built-in experiments.

use guest_payload::lock::LockKind;

use super::super::made::{Factors, study};
use super::*;
use crate::ple::config::OnSpin;

const LOCKS: &[&str] = &all_locks();
const HANDLERS: &[&str] = &all_handlers();

const fn all_handlers() -> [&'static str; OnSpin::ALL.len()] {
    let mut names = [""; OnSpin::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = OnSpin::ALL[at].name();
        at += 1;
    }
    names
}

const fn all_locks() -> [&'static str; LockKind::ALL.len()] {
    let mut names = [""; LockKind::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = LockKind::ALL[at].name();
        at += 1;
    }
    names
}

/// x axis, and of each plot the title and the lines.
fn shape(study: &Study) -> (X, Vec<(String, Vec<String>)>) {
    let layout = layout(study);
    let panel = |panel: &Panel<'_>| {
        let labels = panel.lines.iter().map(|line| line.label.clone());
        (panel.title.clone(), labels.collect())
    };
    (layout.x.clone(), layout.panels.iter().map(panel).collect())
}

fn all(name: &str, factors: Factors<'_>) -> Study {
    study(name, factors, |_| Some(1.0))
}

#[test]
fn overcommit_is_locks_over_vcpus_per_pcpu() {
    let factors: Factors<'_> = &[
        ("lock", &LOCKS[..3]),
        ("vcpus", &["2", "16"]),
        ("pcpus", &["2"]),
    ];
    let study = all("overcommit", factors);
    let (x, panels) = shape(&study);
    assert_eq!(x, X::Overcommit);
    let lines = LOCKS[..3].iter().map(|lock| (*lock).to_owned()).collect();
    assert_eq!(panels, [(String::new(), lines)]);
    let places: Vec<_> = layout(&study).panels[0].lines[0]
        .cells
        .iter()
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(places, [1.0, 8.0]);
}

#[test]
fn more_locks_than_colours_make_more_plots_each_with_the_baseline() {
    let factors: Factors<'_> = &[("lock", LOCKS), ("vcpus", &["2", "16"])];
    let study = all("overcommit", factors).against("lock", "ticket");
    let (_, panels) = shape(&study);
    assert_eq!(panels.len(), (LOCKS.len() - 1).div_ceil(LINES_MOST - 1));
    let mut seen: Vec<_> = panels.iter().flat_map(|(_, lines)| lines.clone()).collect();
    for (title, lines) in &panels {
        assert!(
            lines.len() <= LINES_MOST && lines[0] == "ticket",
            "{title}: {lines:?}"
        );
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), LOCKS.len());
}

#[test]
fn ple_is_handlers_with_a_plot_for_each_lock() {
    let factors: Factors<'_> = &[
        ("lock", &["ticket", "pv-ticket-head"]),
        ("ple", &["off", "soft"]),
        ("on-spin", &HANDLERS[..LINES_MOST - 1]),
        ("vcpus", &["2", "4", "8"]),
        ("pcpus", &["2"]),
    ];
    // Without PLE nobody leaves a spin loop.
    let study = study("ple", factors, |cell| {
        (cell["ple"] != "off" || cell["on-spin"] == "none").then_some(1.0)
    });
    let (x, panels) = shape(&study);
    assert_eq!(x, X::Overcommit);
    let titles: Vec<_> = panels.iter().map(|(title, _)| title.as_str()).collect();
    assert_eq!(titles, ["ticket", "pv-ticket-head"]);
    // `none` has two: with PLE and without.
    assert_eq!(panels[0].1.len(), LINES_MOST);
    assert_eq!(panels[0].1[0], "on-spin none, ple off");
    assert_eq!(panels[0].1[2], "sleep, soft");
}

#[test]
fn an_experiment_named_after_a_number_has_it_as_its_axis() {
    let factors: Factors<'_> = &[
        ("threshold", &["128", "2048"]),
        ("vcpus", &["2", "4", "8", "16"]),
        ("pcpus", &["2"]),
    ];
    let (x, panels) = shape(&all("threshold", factors));
    assert_eq!(x, X::Number("threshold".to_owned()));
    assert_eq!(panels[0].1, ["2 vCPUs", "4 vCPUs", "8 vCPUs", "16 vCPUs"]);
}

#[test]
fn kick_yield_is_two_lines_over_the_overcommit() {
    let factors: Factors<'_> = &[("kick-yield", &["off", "on"]), ("vcpus", &["2", "4"])];
    let (x, panels) = shape(&all("kick-yield", factors));
    assert_eq!(x, X::Overcommit);
    assert_eq!(panels[0].1, ["kick-yield off", "kick-yield on"]);
}

#[test]
fn spins_and_times_do_not_share_an_axis() {
    let values: &[&str] = &["128", "2048", "2000ns"];
    let (x, _) = shape(&all(
        "threshold",
        &[("threshold", values), ("vcpus", &["8"])],
    ));
    assert!(matches!(x, X::Names(..)), "{x:?}");
}

#[test]
fn what_is_compared_with_the_baseline_stands_in_one_plot_with_it() {
    let factors: Factors<'_> = &[
        ("kick-yield", &["off", "on"]),
        ("lock", &["pv-ticket", "pv-ticket-head", "byte"]),
        ("sched", &["round-robin", "fair"]),
        ("vcpus", &["4", "16"]),
    ];
    let (_, panels) = shape(&all("kick-yield", factors).against("kick-yield", "off"));
    let titles: Vec<_> = panels.iter().map(|(title, _)| title.as_str()).collect();
    assert_eq!(titles, ["round-robin", "fair"]);
}

#[test]
fn faults_are_names_along_the_axis() {
    let faults: &[&str] = &["default", "drop=0.01", "dup=0.1"];
    let factors: Factors<'_> = &[("kick-fault", faults), ("vcpus", &["8"])];
    let (x, panels) = shape(&all("kick-faults", factors));
    let names = faults.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(x, X::Names("kick-fault".to_owned(), names));
    assert_eq!(panels[0].1, ["all runs"]);
}

#[test]
fn overcommits_that_fall_together_are_told_apart() {
    let factors: Factors<'_> = &[("vcpus", &["4", "8"]), ("pcpus", &["1", "2"])];
    let (x, panels) = shape(&all("mine", factors));
    assert_eq!(x, X::Overcommit);
    assert_eq!(panels[0].1, ["1 pCPU", "2 pCPUs"]);
}

#[test]
fn one_combination_is_one_point() {
    let (x, panels) = shape(&all("mine", &[("lock", &["ticket"])]));
    assert_eq!(x, X::Nothing);
    assert_eq!(panels, [(String::new(), vec!["all runs".to_owned()])]);
}

/// No cell is lost and none is drawn twice but the baseline's.
#[test]
fn every_cell_is_in_a_plot() {
    let factors: Factors<'_> = &[
        ("lock", LOCKS),
        ("hold", &["1", "10", "100"]),
        ("on-spin", HANDLERS),
        ("vcpus", &["2", "4"]),
    ];
    let study = all("mine", factors);
    let layout = layout(&study);
    let lines = layout.panels.iter().flat_map(|panel| &panel.lines);
    let mut drawn: Vec<_> = lines
        .flat_map(|line| &line.cells)
        .map(|(_, cell)| cell.number)
        .collect();
    drawn.sort_unstable();
    let numbers: Vec<_> = study.cells.iter().map(|cell| cell.number).collect();
    assert_eq!(drawn, numbers);
}
