use super::super::made::{Factors, run, study};
use super::*;

const FACTORS: Factors<'_> = &[("lock", &["ticket", "tas"]), ("vcpus", &["2", "4"])];

fn folder(runs: &[u64], spec: &str) -> Folder {
    let record = |number: &u64| {
        let mut record = run(number % 2, number / 2, &BTreeMap::new(), 1.0);
        record.run = *number;
        record.spec = spec.to_owned();
        (PathBuf::from("results.jsonl"), record)
    };
    Folder {
        path: "folder".into(),
        spec: SpecText {
            runs: 10,
            ..SpecText::default()
        },
        results: runs.iter().map(record).collect(),
        torn: Vec::new(),
    }
}

#[test]
fn a_cell_is_compared_with_the_one_that_differs_in_the_baseline_only() {
    let study = study("made", FACTORS, |_| Some(1.0)).against("lock", "ticket");
    let base = |number: usize| study.base_of(&study.cells[number]).map(|base| base.number);
    assert_eq!(
        [base(0), base(1), base(2), base(3)],
        [None, None, Some(0), Some(1)]
    );
}

#[test]
fn shards_are_joined_and_gaps_are_named() {
    let joined = join(vec![folder(&[0, 2, 6], "a"), folder(&[3, 2], "a")]).unwrap();
    assert_eq!(joined.missing, [(1, 1), (4, 5), (7, 9)]);
    assert_eq!(gaps_in_words(&joined.missing), "1, 4 to 5, 7 to 9");
    assert_eq!(joined.runs().count(), 4);
}

#[test]
fn nothing_is_sized_by_a_number_in_a_file() {
    let joined = join(vec![folder(&[u64::MAX, 0], "a")]).unwrap();
    assert_eq!(joined.missing, [(1, u64::MAX - 1)]);
}

#[test]
fn specifications_do_not_mix() {
    let mixed = join(vec![folder(&[0], "a"), folder(&[1], "b")]);
    assert!(matches!(mixed, Err(ReportError::MixedSpecs { .. })));
}

#[test]
fn runs_of_cells_that_no_run_has_shown_are_missing_too() {
    let mut cut = folder(&[0], "a");
    cut.spec.runs = 100;
    assert_eq!(join(vec![cut]).unwrap().missing, [(1, 99)]);
}
