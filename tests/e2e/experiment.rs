//! An experiment records every run once, whatever becomes of it and of the experiment.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use guest_payload::lock::LockKind;
use serde_json::Value;
use vmm::lab::builtin;
use vmm::lab::record::{Record, RunEnding};
use vmm::report::run::Outcome;
use vmm_tests::command::{Finished, Folder, Vmm, binary, wait};

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

#[test]
fn every_run_is_a_record_with_all_that_made_it() {
    let case = Case::new("whole", TINY);
    let finished = case.vmm("").finish();
    assert_done(&finished);
    let records = case.records();
    assert_eq!(numbers(&records), [0, 1, 2, 3, 4, 5, 6, 7]);
    let mut seeds: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut cells = BTreeSet::new();
    for record in &records {
        let completed = RunEnding::Reported {
            outcome: Outcome::Completed,
        };
        assert_eq!(record.ending, completed);
        assert!(record.metrics["acquisitions_per_second"] > 0.0);
        assert_eq!(record.metrics["violations"], 0.0);
        assert!(record.provenance.pause_ns > 0.0);
        assert!(!record.provenance.revision.is_empty());
        assert_eq!(record.experiment, "tiny");
        assert_eq!(record.factors["memory"], "16M");
        seeds
            .entry(record.repetition)
            .or_default()
            .insert(record.seed);
        cells.insert((record.repetition, record.cell, record.factors.clone()));
    }
    assert_eq!(cells.len(), 8);
    // The runs of a repetition are pairs, those of two are not.
    assert!(seeds.values().all(|seeds| seeds.len() == 1));
    assert_ne!(seeds[&0], seeds[&1]);
    let rows = finished
        .stdout
        .lines()
        .filter(|line| line.starts_with("lock="));
    assert_eq!(rows.count(), 4, "{finished}");

    let before = case.results();
    let again = case.vmm("").finish();
    assert_done(&again);
    assert!(again.stderr.contains("8 of them done before"), "{again}");
    assert_eq!(case.results(), before);
}

#[test]
fn the_folder_has_the_specification_as_it_was_carried_out() {
    let case = Case::new("resolved", TINY);
    assert_done(
        &case
            .vmm("--repetitions 1 --seconds 0.01 --set vcpus=1")
            .finish(),
    );
    let resolved = case.folder.path("out/spec.toml");
    let text = fs::read_to_string(&resolved).unwrap();
    assert!(text.contains("repetitions = 1\n"), "{text}");
    assert!(text.contains("vcpus = 1\n"), "{text}");
    // It is a specification itself, and the same one.
    let again = Vmm::new("experiment").arg(&resolved).arg("-o");
    let again = again.arg(case.folder.path("out")).finish();
    assert_done(&again);
    assert!(again.stderr.contains("2 of them done before"), "{again}");
}

/// Numbers that a seed repeats.
fn drawn(seed: u64, below: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(31) % below
}

#[test]
fn a_kill_at_any_point_loses_no_finished_run_and_repeats_none() {
    for seed in 1..=2 {
        let case = Case::new(
            &format!("kill-{seed}"),
            &TINY.replace("= 2\nbase", "= 5\nbase"),
        );
        let mut done = 0;
        for draw in 0.. {
            if done == 20 {
                break;
            }
            let mut child = case.vmm("").spawn();
            let step = usize::try_from(drawn(seed + 100 * draw, 7)).unwrap();
            let next = (done + step).min(20);
            if next == 20 {
                assert_done(&wait(child, "the last".to_owned()));
            } else {
                case.await_lines(next, &mut child);
                child.kill().unwrap();
                child.wait().unwrap();
            }
            let results = case.results();
            assert!(whole_lines(&results) >= next);
            done = whole_lines(&results);
        }
        let met: BTreeSet<_> = numbers(&case.records()).into_iter().collect();
        assert_eq!(met, (0..20).collect(), "seed {seed}");
        assert_eq!(case.records().len(), 20, "seed {seed}");
    }
}

#[test]
fn a_kill_in_the_middle_of_a_run_loses_that_run_alone() {
    let case = Case::new("middle", &TINY.replace("= 2\nbase", "= 5\nbase"));
    for draw in 0..8 {
        let before = case.results();
        let mut child = case.vmm("").spawn();
        // From before its first run to after its third.
        thread::sleep(Duration::from_millis(drawn(draw, 500)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(case.results().starts_with(&before));
    }
    assert_done(&case.vmm("").finish());
    assert_eq!(case.records().len(), 20);
    let met: BTreeSet<_> = numbers(&case.records()).into_iter().collect();
    assert_eq!(met, (0..20).collect());
}

#[test]
fn a_run_that_is_ended_before_it_hears_signals_is_repeated() {
    for attempt in 0..4 {
        let case = Case::new(&format!("early-{attempt}"), &TINY.replace("0.02", "30"));
        assert_repeats_what_is_ended(&case, |_| true);
    }
}

#[test]
fn what_was_recorded_before_a_kill_stays_byte_for_byte() {
    let case = Case::new("prefix", TINY);
    let mut child = case.vmm("").spawn();
    case.await_lines(3, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = case.results();
    assert_done(&case.vmm("").finish());
    assert!(case.results().starts_with(&before));
}

/// The run that `experiment` has under way, as soon as it `is_due`.
fn await_run(experiment: u32, is_due: impl Fn(u32) -> bool) -> u32 {
    let start = Instant::now();
    loop {
        if let [run] = children(experiment)[..]
            && is_due(run)
        {
            return run;
        }
        assert!(start.elapsed() < LIMIT);
        thread::yield_now();
    }
}

/// Ends the first run of `case` from outside as soon as it `is_due`.
fn assert_repeats_what_is_ended(case: &Case, is_due: impl Fn(u32) -> bool) {
    let child = case.vmm("").spawn();
    signal("-TERM", await_run(child.id(), is_due));
    let finished = wait(child, "interrupted".to_owned());
    assert_eq!(finished.code, 1, "{finished}");
    assert_eq!(case.results(), b"");
}

/// The processes that `parent` started and that are there.
fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

fn is_there(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // What nobody has waited for yet is dead all the same.
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim().starts_with('Z') && !rest.is_empty())
}

fn signal(name: &str, process: u32) {
    let status = Command::new("kill")
        .args([name, &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn an_interrupt_drops_the_run_under_way_and_the_same_command_goes_on() {
    let case = Case::new("interrupt", &TINY.replace("0.02", "30"));
    let child = case.vmm("").spawn();
    let run = await_run(child.id(), |_| true);
    signal("-INT", child.id());
    let finished = wait(child, "interrupted".to_owned());
    assert_eq!(finished.code, 1, "{finished}");
    assert!(finished.stderr.contains("goes on from here"), "{finished}");
    assert!(!is_there(run));
    assert_eq!(case.results(), b"");
    let other = case.vmm("--seconds 0.01").finish();
    assert_eq!(other.code, 2, "{other}");
}

#[test]
fn a_run_that_is_ended_from_outside_is_repeated() {
    let case = Case::new("outside", &TINY.replace("0.02", "30"));
    // It takes signals as data once it runs its guest.
    assert_repeats_what_is_ended(&case, |run| {
        fs::read_dir(format!("/proc/{run}/task")).is_ok_and(|tasks| tasks.count() > 1)
    });
}

#[test]
fn a_torn_last_line_is_dropped_with_a_sentence() {
    let case = Case::new("torn", TINY);
    assert_done(&case.vmm("").finish());
    let whole = case.results();
    fs::write(
        case.folder.path("out/results.jsonl"),
        &whole[..whole.len() - 10],
    )
    .unwrap();
    let again = case.vmm("").finish();
    assert_done(&again);
    assert!(again.stderr.contains("torn off"), "{again}");
    assert!(again.stderr.contains("7 of them done before"), "{again}");
    assert_eq!(numbers(&case.records()), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn damage_in_the_middle_is_one_line_and_changes_nothing() {
    let case = Case::new("damage", TINY);
    assert_done(&case.vmm("").finish());
    let damaged = String::from_utf8(case.results())
        .unwrap()
        .replacen("\"run\":1", "\"run\":x", 1);
    fs::write(case.folder.path("out/results.jsonl"), &damaged).unwrap();
    let finished = case.vmm("").finish();
    assert_eq!(finished.code, 2, "{finished}");
    assert!(finished.one_line().contains("line 2: "), "{finished}");
    assert_eq!(case.results(), damaged.as_bytes());
}

#[test]
fn the_folder_of_another_specification_is_refused_and_left_alone() {
    let case = Case::new("foreign", TINY);
    assert_done(&case.vmm("").finish());
    let before = case.folder.path("out/spec.toml");
    let before = (fs::read(before).unwrap(), case.results());
    let finished = case.vmm("--repetitions 3").finish();
    assert_eq!(finished.code, 2, "{finished}");
    let line = finished.one_line();
    assert!(
        line.contains("`repetitions = 2`, not `repetitions = 3`"),
        "{line}"
    );
    let after = case.folder.path("out/spec.toml");
    assert_eq!((fs::read(after).unwrap(), case.results()), before);

    let divided = case.vmm("--shard 1/2").finish();
    assert_eq!(divided.code, 2, "{divided}");
    assert!(divided.one_line().contains("results.jsonl"), "{divided}");
}

#[test]
fn two_processes_do_not_share_one_file_of_results() {
    let case = Case::new("two", &TINY.replace("0.02", "0.5"));
    let mut first = case.vmm("").spawn();
    case.await_lines(1, &mut first);
    let second = case.vmm("").finish();
    assert_eq!(second.code, 2, "{second}");
    assert!(second.one_line().contains("another vmm"), "{second}");
    assert_done(&wait(first, "the first".to_owned()));
    assert_eq!(case.records().len(), 8);
}

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

#[test]
fn a_run_that_goes_wrong_is_a_result() {
    let spec = "lock = \"ticket\"\nvcpus = [2, 5000]\nseconds = 60\ntimeout = 0.2\nrepetitions = 1";
    let case = Case::new("wrong", spec);
    let finished = case.vmm("").finish();
    assert_done(&finished);
    let mut endings = BTreeMap::new();
    for record in case.records() {
        endings.insert(record.factors["vcpus"].clone(), record.ending);
    }
    let timeout = RunEnding::Reported {
        outcome: Outcome::Timeout,
    };
    assert_eq!(endings["2"], timeout);
    let RunEnding::Failed { why } = &endings["5000"] else {
        panic!("{endings:?}");
    };
    assert!(why.contains("5000"), "{why}");
    assert!(finished.stdout.contains("1 timed out"), "{finished}");
    assert!(finished.stdout.contains("1 failed"), "{finished}");
}

#[test]
fn a_lost_kick_is_a_result() {
    // Short enough for a waiter to halt at once. A single lost kick need not hurt, a share of all does.
    let spec = "lock = \"pv-ticket-head\"\nvcpus = 4\nkick = \"vmm\"\nkick-fault = \"drop=0.2\"\nring = 3\n\
                threshold = 1\nhold = 100\nthink = 10\nmortal = 0\nseconds = 60\nrepetitions = 1";
    let case = Case::new("hung", spec);
    assert_done(&case.vmm("").finish());
    let hung = RunEnding::Reported {
        outcome: Outcome::Hung,
    };
    assert_eq!(case.records()[0].ending, hung);
}

#[test]
fn a_full_disk_is_one_line_and_what_is_recorded_stays() {
    let case = Case::new("full", TINY);
    // In units of 512 bytes: room for the specification and a record or two.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -f 4 && exec \"$0\" \"$@\""])
        .arg(binary());
    shell.arg("experiment").arg(case.folder.path("spec.toml"));
    shell
        .arg("-o")
        .arg(case.folder.path("out"))
        .stdin(Stdio::null());
    let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let finished = wait(child.unwrap(), "with little room".to_owned());
    assert_eq!(finished.code, 3, "{finished}");
    assert!(finished.stderr.contains("cannot be recorded"), "{finished}");
    let before = case.results();
    assert_eq!(before.last(), Some(&b'\n'));
    assert_done(&case.vmm("").finish());
    assert!(case.results().starts_with(&before));
    assert_eq!(case.records().len(), 8);
}

#[test]
fn what_cannot_run_is_one_line_before_anything_is_made() {
    for (spec, part) in [
        ("lock = ", "line 1"),
        ("lokc = \"tas\"", "did you mean `lock`?"),
        ("lock = []", "no values"),
        (
            "lock = [\"tas\", \"tsa\"]",
            "cell 1 (lock=tsa): guest argument `lock=tsa`",
        ),
        ("vcpus = [2, 0]", "cell 1 (vcpus=0): "),
        (
            "vcpus = [2, 300]\nlock = \"ticket\"\ntickets = \"small\"",
            "cell 1 (vcpus=300): ",
        ),
        ("pcpus = [2]", "--sched"),
        (
            "kick = \"kvm\"\nhalt = [\"kvm\", \"vmm\"]",
            "cell 1 (halt=vmm): --kick kvm --halt vmm",
        ),
        (
            "ple = [\"soft\", \"off\"]\non-spin = \"sleep\"",
            "cell 1 (ple=off): --on-spin",
        ),
        ("lock = \"tas\"\nrepetitions = 1000000", "1000000 runs"),
    ] {
        let case = Case::new("bad", spec);
        let finished = case.vmm("").finish();
        assert_eq!(finished.code, 2, "{spec}: {finished}");
        assert!(finished.one_line().contains(part), "{spec}: {finished}");
        assert!(!case.folder.path("out").exists(), "{spec}");
    }
    for (line, part) in [
        ("experiment nothing -o /tmp", "overcommit"),
        ("experiment /nowhere/x.toml -o /tmp", "cannot be read"),
        ("experiment overcommit", "--output"),
        ("experiment overcommit -o x --shard 3/2", "--shard"),
        ("experiment overcommit -o x --set lock", "FACTOR=VALUE"),
        (
            "experiment overcommit --print --set lokc=tas",
            "did you mean `lock`?",
        ),
        (
            "experiment overcommit --print --set lock=tas",
            "none of the values of `lock`",
        ),
    ] {
        let finished = Vmm::new(line).finish();
        assert_eq!(finished.code, 2, "{finished}");
        assert!(finished.one_line().contains(part), "{finished}");
    }
}

#[test]
fn a_folder_that_cannot_be_one_is_one_line() {
    let case = Case::new("nofolder", TINY);
    let file = case.folder.file("file", b"");
    let vmm = Vmm::new("experiment").arg(case.folder.path("spec.toml"));
    let finished = vmm.arg("-o").arg(file.join("out")).finish();
    assert_eq!(finished.code, 2, "{finished}");
    assert!(
        finished.one_line().contains("cannot be written"),
        "{finished}"
    );
}

#[test]
fn the_built_in_experiments_are_listed_and_each_can_be_run() {
    let list = Vmm::new("experiment --list").finish();
    assert_done(&list);
    for builtin in builtin::ALL {
        let line = list
            .stdout
            .lines()
            .find(|line| line.starts_with(builtin.name));
        assert!(line.is_some_and(|line| line.len() > 20), "{list}");
        let printed = Vmm::new(&format!("experiment {} --print", builtin.name)).finish();
        assert_done(&printed);
        let name = format!("name = \"{}\"\n", builtin.name);
        assert!(printed.stdout.starts_with(&name), "{printed}");
    }
}

#[test]
fn a_value_with_commas_is_set_as_a_list() {
    let vmm = Vmm::new("experiment overcommit --print --set vcpus=2 --set");
    let printed = vmm.arg("topology=[\"sockets=2,cores=1\"]").finish();
    assert_done(&printed);
    assert!(
        printed
            .stdout
            .contains("topology = \"sockets=2,cores=1\"\n"),
        "{printed}"
    );
}

#[test]
fn a_word_for_a_list_is_set_as_in_the_file() {
    let printed = Vmm::new("experiment overcommit --print --set lock=every").finish();
    assert_done(&printed);
    let line = printed.stdout.lines().find(|line| line.starts_with("lock"));
    let locks = line.unwrap().matches('"').count() / 2;
    assert_eq!(locks, LockKind::ALL.len(), "{printed}");
}

#[test]
fn a_record_fits_its_schema_and_has_no_field_that_its_reader_does_not_know() {
    const SCHEMA: &str = include_str!("../../docs/reference/experiment-record.schema.json");
    let validator = jsonschema::draft202012::new(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let case = Case::new("fields", TINY);
    assert_done(&case.vmm("--set vcpus=1 --repetitions 1").finish());
    for line in String::from_utf8(case.results()).unwrap().lines() {
        let raw: Value = serde_json::from_str(line).unwrap();
        let faults: Vec<_> = validator
            .iter_errors(&raw)
            .map(|fault| fault.to_string())
            .collect();
        assert!(faults.is_empty(), "{faults:?}");
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_value(record).unwrap(), raw);
    }
}
