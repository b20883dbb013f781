//! An experiment records every run once, whatever becomes of it and of the experiment.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod folder;
mod kills;
mod records;
mod shards;
mod specification;

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};
use std::{fs, thread};

use vmm::lab::record::Record;
use vmm_tests::command::{Finished, Folder, Vmm};

/// Eight runs that take next to no time.
const TINY: &str = r#"
name = "tiny"
lock = ["ticket", "pv-ticket-head"]
vcpus = [1, 2]
memory = "16M"
seconds = 0.02
repetitions = 2
baseline = { lock = "ticket" }
"#;

/// Whatever has not happened by then never will.
const LIMIT: Duration = Duration::from_secs(60);

struct Case {
    folder: Folder,
}

impl Case {
    fn new(name: &str, spec: &str) -> Self {
        let folder = Folder::new(&format!("experiment-{name}"));
        folder.file("spec.toml", spec.as_bytes());
        Self { folder }
    }

    fn vmm(&self, line: &str) -> Vmm {
        Vmm::new("experiment")
            .arg(self.folder.path("spec.toml"))
            .arg("-o")
            .arg(self.folder.path("out"))
            .words(line)
    }

    fn results(&self) -> Vec<u8> {
        fs::read(self.folder.path("out/results.jsonl")).unwrap_or_default()
    }

    fn records(&self) -> Vec<Record> {
        records(&self.folder.path("out/results.jsonl"))
    }

    /// Waits until `lines` runs are recorded by `child`.
    fn await_lines(&self, lines: usize, child: &mut Child) {
        let start = Instant::now();
        while whole_lines(&self.results()) < lines {
            assert!(start.elapsed() < LIMIT, "no {lines} lines");
            assert!(child.try_wait().unwrap().is_none(), "it ended early");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn whole_lines(results: &[u8]) -> usize {
    results.iter().filter(|byte| **byte == b'\n').count()
}

fn records(path: &Path) -> Vec<Record> {
    let text = fs::read_to_string(path).unwrap();
    let record = |line| serde_json::from_str(line).unwrap();
    text.lines().map(record).collect()
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.run).collect()
}

fn assert_done(finished: &Finished) {
    assert_eq!(finished.code, 0, "{finished}");
}
