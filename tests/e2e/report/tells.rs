//! What the page tells.

use std::fs;
use std::path::Path;

use vmm_tests::command::{Folder, Vmm};
use vmm_tests::experiment::{Experiment, Factors, Made, collapse, overcommit};

use super::{page, refused, report};

#[test]
fn the_collapse_and_the_cure_are_told_with_their_intervals_and_targets() {
    let folder = Folder::new("report-collapse");
    let dir = overcommit().write(&folder.path("dir"), collapse);
    let page = page(&dir);
    let told = report(&[&dir]).stdout;
    assert!(told.starts_with("overcommit on vmx\n"), "{told}");
    for words in [
        "At 16 vCPUs on 2 pCPUs: pv-ticket-head takes 1",
        "as many locks a second as ticket; 5 pairs.",
        "ticket: with 16 vCPUs on 2 pCPUs it takes 0.",
        "% sure) of the locks a second that it takes with 2 vCPUs on 2 pCPUs; 5 pairs.",
    ] {
        assert!(told.contains(words), "{words} in {told}");
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(told.matches("(met)").count(), 3, "{told}");
    assert_eq!(
        page.matches("<strong class=\"yes\">met</strong>").count(),
        3
    );
    // Throughput, ratio and two small ones, each with names for those who hear the page.
    assert_eq!(page.matches("<svg ").count(), 4);
    assert_eq!(page.matches("role=\"img\" aria-labelledby=").count(), 4);
    assert_eq!(page.matches("<title").count(), 5);
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let folder = Folder::new("report-alone");
    let page = page(&overcommit().write(&folder.path("dir"), collapse));
    for outside in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<img",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn runs_that_went_wrong_are_counted_and_a_cell_of_them_has_no_median() {
    let folder = Folder::new("report-wrong");
    let dir = overcommit().write(&folder.path("dir"), |cell, repetition| {
        match (cell.get("lock"), cell.get("vcpus"), repetition) {
            ("tas", "16", _) => Made::Outcome("hung"),
            ("tas", "8", 0) => Made::Outcome("violated"),
            ("tas", "8", 1) => Made::Failed("vmm: no memory".to_owned()),
            _ => collapse(cell, repetition),
        }
    });
    let page = page(&dir);
    for words in [
        "60 runs of 12 combinations; 7 went wrong.",
        "At 16 vCPUs on 2 pCPUs, tas: 5 of 5 runs went wrong (5 hung); there is no median.",
        "At 8 vCPUs on 2 pCPUs, tas: 2 of 5 runs went wrong (1 failed, 1 violated).",
        "no median:<br><small>all runs went wrong</small>",
        "vmm: no memory",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let csv = fs::read_to_string(dir.join("report-cells.csv")).unwrap();
    let row = csv
        .lines()
        .find(|line| line.contains(",tas,2,16,"))
        .unwrap();
    assert!(row.starts_with("11,5,5,"), "{row}");
}

#[test]
fn a_run_is_a_line_of_the_csv() {
    let folder = Folder::new("report-csv");
    let dir = overcommit().write(&folder.path("dir"), collapse);
    let csv = folder.path("runs.csv");
    let finished = Vmm::new("report").arg(&dir).arg("--csv").arg(&csv).finish();
    assert_eq!(finished.code, 0, "{finished}");
    assert_eq!(fs::read_to_string(&csv).unwrap().lines().count(), 61);
    let cells = fs::read_to_string(folder.path("runs-cells.csv")).unwrap();
    assert_eq!(cells.lines().count(), 13);
}

#[test]
fn shards_make_one_page_and_what_is_missing_is_named() {
    let folder = Folder::new("report-shards");
    let experiment = overcommit();
    let lines = experiment.lines(collapse);
    let (first, second) = lines.split_at(20);
    let one = experiment.write_lines(&folder.path("one"), "results-1-of-2.jsonl", first);
    let other = experiment.write_lines(&folder.path("other"), "results-2-of-2.jsonl", &second[2..]);
    let finished = report(&[&one, &other, &one]);
    assert_eq!(finished.code, 0, "{finished}");
    let page = fs::read_to_string(one.join("report.html")).unwrap();
    assert!(page.contains("58 runs of 12 combinations"));
    assert!(page.contains("2 runs have no result yet: 20 to 21."));
}

#[test]
fn two_builds_are_compared_combination_by_combination() {
    let folder = Folder::new("report-compare");
    let one = overcommit().write(&folder.path("one"), collapse);
    let other = overcommit().revision("4567def").described("another");
    let other = other.write(&folder.path("other"), |cell, repetition| {
        match collapse(cell, repetition) {
            Made::Metrics(mut metrics) if cell.get("lock") == "tas" => {
                metrics[0].1 *= 2.0;
                Made::Metrics(metrics)
            }
            made => made,
        }
    });
    let compare = |a: &Path, b: &Path| Vmm::new("report --compare").arg(a).arg(b).finish();
    let finished = compare(&one, &other);
    assert_eq!(finished.code, 0, "{finished}");
    for words in [
        "Of 12 combinations that both have, B takes more locks a second in 4, fewer in 0, and in 8 no",
        "At 16 vCPUs on 2 pCPUs, tas: B takes 2.00x",
    ] {
        assert!(finished.stdout.contains(words), "{words} in {finished}");
    }
    let page = fs::read_to_string(one.join("compare.html")).unwrap();
    assert!(page.contains("A and B differ in revision."));
    // The same twice: the medians agree.
    let same = compare(&one, &one);
    assert!(
        same.stdout.contains("agree within their intervals (met)"),
        "{same}"
    );

    let fewer = Experiment::new("overcommit")
        .factor("lock", &["ticket"])
        .factor("pcpus", &["2"])
        .factor("vcpus", &["2"])
        .described("fewer")
        .write(&folder.path("fewer"), collapse);
    refused(
        &compare(&one, &fewer),
        "`lock = pv-ticket-head` is in the first only",
    );
    refused(
        &Vmm::new("report --compare").arg(&one).finish(),
        "--compare takes two folders, not 1",
    );
}

/// Numbers that no plot can show stop no plot.
#[test]
fn extreme_numbers_make_a_page_too() {
    let folder = Folder::new("report-extreme");
    let values = [0.0, 1e-300, -1e300, 1e308, 5e-324];
    let dir = overcommit().write(&folder.path("dir"), |cell: &Factors, repetition| {
        let at = usize::try_from(repetition).unwrap();
        Made::Metrics(vec![
            ("acquisitions_per_second", values[at]),
            ("wait_p99_ns", values[(at + cell.get("vcpus").len()) % 5]),
        ])
    });
    page(&dir);
    for (name, value) in [("zero", 0.0), ("huge", 1e308), ("below", -5.0)] {
        let made = move |_: &Factors, _| Made::Metrics(vec![("acquisitions_per_second", value)]);
        page(&overcommit().write(&folder.path(name), made));
    }
}
