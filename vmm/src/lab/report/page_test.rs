use super::super::made::{Factors, study};
use super::*;

/// The elements of a page that make its outline, with their texts.
fn outline(page: &str) -> Vec<String> {
    let is_outline = |line: &&str| {
        ["<h1", "<h2", "<figcaption", "<caption"]
            .iter()
            .any(|tag| line.contains(tag))
    };
    let text = |line: &str| {
        let mut text = String::new();
        let mut depth = 0;
        for c in line.chars() {
            match c {
                '<' => depth += 1,
                '>' => depth -= 1,
                c if depth == 0 => text.push(c),
                _ => {}
            }
        }
        text
    };
    page.lines().filter(is_outline).map(text).collect()
}

#[test]
fn the_page_has_its_parts_in_order() {
    let factors: Factors<'_> = &[("lock", &["ticket", "tas"]), ("vcpus", &["2", "8"])];
    let study = study("made", factors, |_| Some(1000.0)).against("lock", "ticket");
    let page = page(&study).unwrap();
    assert_eq!(
        outline(&page),
        [
            "made on vmx",
            "Findings",
            "Plots",
            "locks taken a second",
            "locks taken a second, times those of the baseline",
            "Tables",
            "Medians with their intervals",
            "How the numbers were made",
            "Provenance",
            "Where the runs ran",
            "Specification",
        ]
    );
}

#[test]
fn hosts_that_differ_are_named_aloud() {
    let factors: Factors<'_> = &[("lock", &["ticket", "tas"])];
    let mut study = study("made", factors, |_| Some(1000.0));
    assert!(!page(&study).unwrap().contains("they differ in"));
    study.cells[1].runs[0].provenance.host_kind = crate::host::Kind::Svm;
    study.cells[1].runs[0].provenance.kernel = "6.13.0".to_owned();
    let page = page(&study).unwrap();
    assert!(page.contains("<h1>made on svm and vmx</h1>"));
    assert!(page.contains(
        "class=\"warning\">These runs do not come from one place: they differ in host kind, kernel."
    ));
}

#[test]
fn a_single_run_has_a_median_and_no_interval() {
    let mut study = study("made", &[("lock", &["ticket"])], |_| Some(1000.0));
    study.cells[0].runs.truncate(1);
    let page = page(&study).unwrap();
    assert!(page.contains("1.00 k/s<br><small>no interval</small>"));
    assert!(page.contains("There is nothing to compare"));
}
