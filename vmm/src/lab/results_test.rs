use std::fs;

use super::super::plan::Plan;
use super::super::record::{Provenance, RunEnding};
use super::super::shard::Shard;
use super::super::test_spec::cells;
use super::*;
use crate::host::Kind;

/// A file of results in a folder of its own, and what it is of.
struct Case {
    folder: PathBuf,
    cells: Cells,
    runs: Vec<Run>,
}

impl Case {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("vmm-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let cells = cells("lock = [\"tas\", \"byte\"]\nrepetitions = 2").unwrap();
        let runs = Plan::of(&cells).of_shard(Shard::WHOLE);
        Self {
            folder,
            cells,
            runs,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("results.jsonl")
    }

    fn open(&self) -> Result<(Results, Found), ResultsError> {
        Results::open(&self.path(), &self.cells, &self.runs, |_| {})
    }

    fn record(&self, place: usize) -> Record {
        let run = self.runs[place];
        Record {
            schema: SCHEMA.to_owned(),
            experiment: "nameless".to_owned(),
            spec: self.cells.spec().digest(),
            run: run.number,
            cell: run.cell as u64,
            repetition: run.repetition.into(),
            factors: self.cells.factors(run.cell),
            seed: run.seed,
            started_unix_ms: 0,
            ending: RunEnding::Failed {
                why: "no".to_owned(),
            },
            metrics: Default::default(),
            provenance: Provenance {
                host: "0123456789ab".to_owned(),
                host_kind: Kind::Unknown,
                kernel: String::new(),
                cpu_model: String::new(),
                host_cpus: 1,
                kvm_parameters: Default::default(),
                version: String::new(),
                revision: String::new(),
                profile: "release".to_owned(),
                pause_ns: 1.5,
                load_1min: 0.0,
            },
        }
    }

    /// The file with the first two runs in it.
    fn with_two(name: &str) -> Self {
        let case = Self::new(name);
        let (mut results, found) = case.open().unwrap();
        assert_eq!(found, Found::default());
        for place in 0..2 {
            results.append(&case.record(place)).unwrap();
        }
        case
    }

    fn damage(&self, line: usize) -> String {
        let before = fs::read(self.path()).unwrap();
        let error = self.open().unwrap_err();
        assert_eq!(fs::read(self.path()).unwrap(), before);
        let text = error.to_string();
        assert!(text.contains(&format!("line {line}: ")), "{text}");
        assert!(!text.contains('\n'), "{text}");
        text
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn what_is_recorded_is_found_again() {
    let case = Case::with_two("found");
    let mut seen = Vec::new();
    let (_, found) = Results::open(&case.path(), &case.cells, &case.runs, |record| {
        seen.push(record.clone());
    })
    .unwrap();
    assert_eq!(found.done, HashSet::from([0, 1]));
    assert_eq!(seen, [case.record(0), case.record(1)]);
}

#[test]
fn a_line_torn_anywhere_is_dropped_and_its_run_can_be_repeated() {
    let case = Case::with_two("torn");
    let whole = fs::read(case.path()).unwrap();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in first + 1..whole.len() {
        fs::write(case.path(), &whole[..length]).unwrap();
        let (mut results, found) = case.open().unwrap();
        assert_eq!(found.done, HashSet::from([0]));
        assert_eq!(found.torn, (length - first) as u64);
        results.append(&case.record(1)).unwrap();
        assert_eq!(fs::read(case.path()).unwrap(), whole);
    }
}

#[test]
fn damage_before_the_last_line_is_named_and_nothing_is_changed() {
    let case = Case::with_two("damaged");
    let whole = fs::read_to_string(case.path()).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let write = |first: &str, second: &str| {
        fs::write(case.path(), format!("{first}\n{second}\n")).unwrap();
    };
    write("", lines[1]);
    assert!(case.damage(1).contains("no record"));
    write(&lines[0][..100], lines[1]);
    assert!(case.damage(1).contains("no record"));
    write(lines[0], lines[0]);
    assert!(case.damage(2).contains("comes twice"));
    write(lines[0], &lines[1].replace(SCHEMA, "vmm.experiment/9"));
    assert!(case.damage(2).contains("vmm.experiment/9"));
    write(lines[0], &lines[1].replace(&case.record(0).spec, "beef"));
    assert!(case.damage(2).contains("digest beef"));
    write(lines[0], &lines[1].replace("\"run\":1", "\"run\":99"));
    assert!(case.damage(2).contains("none of this shard"));
    write(
        lines[0],
        &lines[1].replace("\"repetition\":0", "\"repetition\":1"),
    );
    assert!(case.damage(2).contains("another cell"));
    write(lines[0], &"x".repeat(3 << 20));
    case.damage(2);
}

#[test]
fn a_string_of_the_file_moves_no_cursor() {
    let case = Case::with_two("cursor");
    let whole = fs::read_to_string(case.path()).unwrap();
    let spec = case.record(0).spec;
    for (old, new) in [
        (SCHEMA, "\\u001b[2J\\r"),
        (spec.as_str(), "\\u001b[2J\\r"),
        ("\"failed\"", "\"\\u001b[2J\\r\""),
    ] {
        fs::write(case.path(), whole.replacen(old, new, 1)).unwrap();
        let said = case.damage(1);
        assert!(said.contains("[2J"), "{said}");
        assert!(!said.contains(char::is_control), "{said:?}");
    }
}

#[test]
fn two_writers_that_nobody_keeps_apart_lose_no_line() {
    let case = Case::new("append");
    let (mut first, _) = case.open().unwrap();
    // As on a file system without locks.
    let (mut second, _) = {
        first.file.unlock().unwrap();
        case.open().unwrap()
    };
    first.append(&case.record(0)).unwrap();
    second.append(&case.record(1)).unwrap();
    first.append(&case.record(2)).unwrap();
    drop((first, second));
    let (_, found) = case.open().unwrap();
    assert_eq!(found.done, HashSet::from([0, 1, 2]));
}

#[test]
fn one_file_has_one_writer() {
    let case = Case::new("writer");
    let first = case.open().unwrap();
    assert!(matches!(case.open(), Err(ResultsError::InUse { .. })));
    drop(first);
    case.open().unwrap();
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let case = Case::with_two("full");
    let before = fs::read(case.path()).unwrap();
    let (mut results, _) = case.open().unwrap();
    results.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = results.append(&case.record(2)).unwrap_err();
    assert!(matches!(error, ResultsError::Write { .. }));
    assert_eq!(fs::read(case.path()).unwrap(), before);
}
