//! An experiment as a job array on a Slurm that the test makes and takes down again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use vmm::lab::record::Record;
use vmm_tests::command::{Folder, binary, wait};

const SPEC: &str = r#"
lock = ["ticket", "pv-ticket-head"]
vcpus = 2
memory = "16M"
seconds = 0.02
repetitions = 2
baseline = { lock = "ticket" }
"#;
/// Exit code of a script that has nothing to run on.
const SKIPPED: i32 = 77;

#[test]
fn a_job_array_makes_the_whole_and_a_report() {
    let folder = Folder::new("cluster-slurm");
    let spec = folder.file("spec.toml", SPEC.as_bytes());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cluster/slurm");
    let mut line = Command::new(script);
    line.arg(spec).arg(folder.path("out")).arg("2");
    line.env("VMM", binary()).stdin(Stdio::null());
    let child = line.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let finished = wait(child.unwrap(), "tests/cluster/slurm".to_owned());
    if finished.code == SKIPPED {
        eprintln!("{finished}");
        return;
    }
    assert_eq!(finished.code, 0, "{finished}");
    let mut runs = BTreeSet::new();
    for piece in 1..=2 {
        let path = folder.path(&format!("out/results-{piece}-of-2.jsonl"));
        for line in fs::read_to_string(path).unwrap().lines() {
            let record: Record = serde_json::from_str(line).unwrap();
            assert!(runs.insert(record.run), "{line}");
        }
    }
    assert_eq!(runs, (0..4).collect());
    let page = fs::read_to_string(folder.path("out/report.html")).unwrap();
    assert!(page.contains("4 runs"), "{finished}");
}
