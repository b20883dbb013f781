//! Parts of one experiment in several processes.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use vmm::lab::record::Record;
use vmm_tests::command::{binary, wait};

use super::{Case, TINY, assert_done, records};

#[test]
fn shards_make_the_whole() {
    let whole = Case::new("unsharded", TINY);
    assert_done(&whole.vmm("").finish());
    let case = Case::new("sharded", TINY);
    let mut records = Vec::new();
    for number in 1..=3 {
        let finished = case.vmm(&format!("--shard {number}/3")).finish();
        assert_done(&finished);
        let said = format!("shard {number}/3 (--shard)");
        assert!(finished.stderr.contains(&said), "{finished}");
        let file = case
            .folder
            .path(&format!("out/results-{number}-of-3.jsonl"));
        let part = self::records(&file);
        // A cell and its baseline are here, or neither is.
        let mut pairs = BTreeMap::new();
        for record in &part {
            let pair = (record.repetition, record.factors["vcpus"].clone());
            *pairs.entry(pair).or_insert(0) += 1;
        }
        assert!(pairs.values().all(|runs| *runs == 2), "{pairs:?}");
        records.extend(part);
    }
    records.sort_by_key(|record| record.run);
    let what = |record: &Record| (record.run, record.cell, record.repetition, record.seed);
    let parts: Vec<_> = records.iter().map(what).collect();
    assert_eq!(parts, whole.records().iter().map(what).collect::<Vec<_>>());
}

#[test]
fn a_cluster_says_which_shard_this_is() {
    let case = Case::new("cluster", TINY);
    let run = |variables: &[(&str, &str)]| {
        let mut line = Command::new(binary());
        line.arg("experiment").arg(case.folder.path("spec.toml"));
        line.arg("-o").arg(case.folder.path("out"));
        line.envs(variables.iter().copied()).stdin(Stdio::null());
        let child = line.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        wait(child.unwrap(), format!("{variables:?}"))
    };
    let slurm = run(&[
        ("SLURM_ARRAY_TASK_ID", "5"),
        ("SLURM_ARRAY_TASK_MIN", "4"),
        ("SLURM_ARRAY_TASK_MAX", "5"),
        ("SLURM_ARRAY_TASK_STEP", "1"),
        ("SLURM_ARRAY_TASK_COUNT", "2"),
    ]);
    assert_done(&slurm);
    assert!(
        slurm.stderr.contains("shard 2/2 (SLURM_ARRAY_TASK_ID)"),
        "{slurm}"
    );
    let job = run(&[("JOB_COMPLETION_INDEX", "0"), ("VMM_SHARDS", "2")]);
    assert_done(&job);
    assert!(
        job.stderr.contains("shard 1/2 (JOB_COMPLETION_INDEX)"),
        "{job}"
    );
    let lost = run(&[("JOB_COMPLETION_INDEX", "0")]);
    assert_eq!(lost.code, 2, "{lost}");
    assert!(lost.one_line().contains("VMM_SHARDS"), "{lost}");
}
