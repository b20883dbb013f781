use super::super::made::{Factors, study};
use super::*;

const FACTORS: Factors<'_> = &[("lock", &["ticket", "tas"]), ("vcpus", &["2", "4"])];

fn both(a: f64, b: f64) -> Comparison {
    Comparison {
        a: study("made", FACTORS, |_| Some(a)),
        b: study("made", FACTORS, |_| Some(b)),
    }
}

fn findings(comparison: &Comparison) -> Vec<Finding> {
    comparison.findings(&layout::layout(&comparison.a))
}

#[test]
fn the_same_twice_agrees() {
    let findings = findings(&both(1000.0, 1000.0));
    assert!(
        findings[0].text.contains("and in 4 no difference is shown"),
        "{}",
        findings[0].text
    );
    assert_eq!(findings[0].target.as_ref().unwrap().met, Met::Yes);
}

#[test]
fn a_faster_build_is_shown_everywhere() {
    let findings = findings(&both(1000.0, 2000.0));
    assert!(
        findings[0]
            .text
            .contains("B takes more locks a second in 4"),
        "{}",
        findings[0].text
    );
    assert_eq!(findings[0].target.as_ref().unwrap().met, Met::No);
    assert!(findings[1].text.starts_with("At "), "{}", findings[1].text);
    assert!(
        findings[1].text.contains("B takes 2.00x"),
        "{}",
        findings[1].text
    );
}

#[test]
fn factors_that_differ_are_named() {
    let a = study("made", FACTORS, |_| Some(1.0));
    let fewer: Factors<'_> = &[("lock", &["ticket"]), ("vcpus", &["2", "4"])];
    let b = study("made", fewer, |_| Some(1.0));
    assert_eq!(
        difference(&a, &b).unwrap(),
        "`lock = tas` is in the first only"
    );
    let other: Factors<'_> = &[("lock", &["ticket", "tas"])];
    let c = study("made", other, |_| Some(1.0));
    assert_eq!(
        difference(&c, &a).unwrap(),
        "the factor `vcpus` is in the second only"
    );
    assert_eq!(difference(&a, &a), None);
}

#[test]
fn what_differs_between_two_hosts_is_listed() {
    let mut comparison = both(1.0, 1.0);
    for run in comparison
        .b
        .cells
        .iter_mut()
        .flat_map(|cell| &mut cell.runs)
    {
        run.provenance.kernel = "6.13.0".to_owned();
    }
    let differing = comparison.differing();
    assert_eq!(
        differing,
        [("kernel", "6.12.0".to_owned(), "6.13.0".to_owned())]
    );
}

#[test]
fn runs_that_went_wrong_are_told_and_their_combination_is_lost() {
    let mut comparison = both(1000.0, 1000.0);
    for run in &mut comparison.b.cells[0].runs {
        run.ending = crate::lab::record::RunEnding::Failed {
            why: "ended by signal 9".to_owned(),
        };
    }
    let findings = findings(&comparison);
    assert!(
        findings[0].text.contains("Nothing can be said of 1 more"),
        "{}",
        findings[0].text
    );
    assert_eq!(findings[0].target.as_ref().unwrap().met, Met::Open);
    let wrong = |text: &str| text.starts_with("B: ") && text.contains("5 of 5 runs went wrong");
    assert!(findings.iter().any(|finding| wrong(&finding.text)));
}

#[test]
fn builds_that_differ_need_not_agree() {
    let mut comparison = both(1000.0, 2000.0);
    for run in &mut comparison.b.cells[0].runs {
        run.provenance.profile = "debug".to_owned();
    }
    assert_eq!(findings(&comparison)[0].target, None);
}
