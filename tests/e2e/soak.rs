//! A machine goes from process to process and loses nothing; without the repair it does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use vmm_tests::command::{Folder, Report, Vmm, signal, skip, wait};

const SCHEMA: &str = include_str!("../../docs/reference/soak.schema.json");
/// Whatever has not happened by then never will.
const LIMIT: Duration = Duration::from_secs(60);
/// A cycle hides a kick about every third time: that none does in so many has a chance of 10^-50.
const ENOUGH: &str = "--cycles 300";
/// What has to be 0.
const COUNTS: [&str; 7] = [
    "lost_kicks",
    "hangs",
    "io_duplicated",
    "io_lost",
    "tsc_backwards",
    "kvmclock_backwards",
    "violations",
];

fn soak(line: &str) -> Report {
    let report = Vmm::new("soak").words(line).report();
    let schema = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&report.json).collect();
    assert!(errors.is_empty(), "{errors:?} in {}", report.finished);
    report
}

fn assert_clean(report: &Report, cycles: u64) {
    for count in COUNTS {
        assert_eq!(
            report.count(&format!("/{count}")),
            0,
            "{count}: {}",
            report.finished
        );
    }
    assert_eq!(report.count("/cycles"), cycles, "{}", report.finished);
    assert_eq!(report.text("/ended_by"), "cycles", "{}", report.finished);
    assert_eq!(report.finished.code, 0, "{}", report.finished);
    let (hidden, repaired) = (
        report.count("/hidden_kicks"),
        report.count("/kicks_repaired"),
    );
    assert!(repaired <= hidden, "{}", report.finished);
    for process in ["soak", "machine"] {
        let samples = report.list(&format!("/resources/{process}/samples"));
        assert_eq!(samples.len() as u64, cycles.min(100), "{}", report.finished);
    }
}

fn every_machine_is_clean(mode: &str, halt: &str) {
    const CYCLES: u64 = 4;
    for ring in [0, 3] {
        for vcpus in [1, 2, 4] {
            let report = soak(&format!(
                "--mode {mode} --cycles {CYCLES} --seed {vcpus} --kick vmm --halt {halt} \
                 --vcpus {vcpus} -- ring={ring} window=30000"
            ));
            assert_clean(&report, CYCLES);
            assert_eq!(report.text("/halt"), halt);
            assert_eq!(report.text("/mode"), mode);
        }
    }
}

#[test]
fn snapshots_under_kvms_halt_lose_nothing() {
    every_machine_is_clean("snapshot", "kvm");
}

#[test]
fn snapshots_under_the_vmms_halt_lose_nothing() {
    every_machine_is_clean("snapshot", "vmm");
}

#[test]
fn migrations_under_kvms_halt_lose_nothing() {
    every_machine_is_clean("migrate", "kvm");
}

#[test]
fn migrations_under_the_vmms_halt_lose_nothing() {
    every_machine_is_clean("migrate", "vmm");
}

#[test]
fn a_machine_is_saved_again_and_again_in_one_process() {
    for halt in ["kvm", "vmm"] {
        every_machine_is_clean("stay", halt);
    }
    let report = soak("--mode stay --cycles 20 --kick vmm");
    assert_clean(&report, 20);
    for count in ["sources_went_on", "downtime_ns/count"] {
        assert_eq!(
            report.count(&format!("/{count}")),
            20,
            "{}",
            report.finished
        );
    }
}

#[test]
fn where_kvm_takes_the_kicks_nothing_is_lost() {
    let tried = Vmm::run("--kick kvm --halt kvm --vcpus 1 -- seconds=0").finish();
    if tried.code == 3 {
        skip("--kick kvm", tried.one_line());
        return;
    }
    for mode in ["snapshot", "migrate"] {
        assert_clean(
            &soak(&format!("--mode {mode} --cycles 5 --kick kvm --halt kvm")),
            5,
        );
    }
}

#[test]
fn a_source_goes_on_after_its_snapshot() {
    // This seed chooses each way within so many cycles.
    let report = soak("--mode snapshot --cycles 25 --seed 1 --kick vmm --halt kvm");
    assert_clean(&report, 25);
    assert!(report.count("/sources_went_on") >= 2, "{}", report.finished);
    assert!(
        report.count("/downtime_ns/count") < 25,
        "{}",
        report.finished
    );
}

fn kicks_are_lost(mode: &str, halt: &str) {
    let report = soak(&format!(
        "--mode {mode} {ENOUGH} --kick vmm --halt {halt} --no-repair --until-loss"
    ));
    assert_eq!(report.finished.code, 1, "{}", report.finished);
    assert_eq!(report.text("/ended_by"), "loss", "{}", report.finished);
    for count in ["hidden_kicks", "lost_kicks", "hangs"] {
        assert!(
            report.count(&format!("/{count}")) > 0,
            "{count}: {}",
            report.finished
        );
    }
    // A lost kick is all that is wrong with such a guest.
    for count in &COUNTS[2..] {
        assert_eq!(
            report.count(&format!("/{count}")),
            0,
            "{count}: {}",
            report.finished
        );
    }
    let table = &report.finished.stderr;
    assert!(table.starts_with("LOST "), "{table}");
    assert!(!table.contains("PASSED"), "{table}");
}

#[test]
fn without_the_repair_snapshots_under_kvms_halt_lose_kicks() {
    kicks_are_lost("snapshot", "kvm");
}

#[test]
fn without_the_repair_snapshots_under_the_vmms_halt_lose_kicks() {
    kicks_are_lost("snapshot", "vmm");
}

#[test]
fn without_the_repair_migrations_lose_kicks() {
    kicks_are_lost("migrate", "kvm");
}

#[test]
fn a_soak_goes_on_after_a_loss() {
    for mode in ["snapshot", "migrate"] {
        let report = soak(&format!("--mode {mode} --cycles 8 --kick vmm --no-repair"));
        assert_eq!(report.count("/cycles"), 8, "{}", report.finished);
        let lost = report.count("/lost_kicks");
        assert_eq!(
            report.finished.code,
            i32::from(lost > 0),
            "{}",
            report.finished
        );
        assert_eq!(lost > 0, report.finished.stderr.starts_with("LOST "));
    }
}

#[test]
fn a_control_that_loses_nothing_claims_no_proof() {
    // One vCPU has nobody who would kick it.
    let report = soak("--mode snapshot --cycles 2 --vcpus 1 --no-repair");
    assert_clean(&report, 2);
    let table = &report.finished.stderr;
    assert!(table.contains("proves nothing"), "{table}");
    let report = soak("--mode snapshot --cycles 2 --vcpus 1");
    assert_clean(&report, 2);
    let table = &report.finished.stderr;
    assert!(table.contains("no kick was ever hidden"), "{table}");
}

#[test]
fn what_cannot_be_soaked_is_refused_in_one_line() {
    let long = "x".repeat(100);
    let long = format!("--mode snapshot --dir /tmp/{long}");
    for (line, code, says) in [
        ("", 2, "--mode"),
        ("--mode copy", 2, "snapshot, migrate, stay"),
        ("--mode stay --no-repair", 2, "--no-repair"),
        ("--mode snapshot --cycles 0", 2, "--cycles"),
        ("--mode snapshot --vcpus 0", 2, "--vcpus"),
        ("--mode snapshot --memory 1K", 2, "--memory"),
        (
            "--mode snapshot --dir /no/such/folder",
            2,
            "--dir /no/such/folder",
        ),
        (&long, 2, "too long"),
        (
            "--mode snapshot --json /no/such/folder/x",
            2,
            "/no/such/folder",
        ),
        ("--mode snapshot -- io=0", 2, "io=0"),
        ("--mode snapshot -- clocks=off", 2, "clocks=off"),
        ("--mode snapshot -- seconds=1", 2, "--cycles"),
        ("--mode snapshot -- rnig=3", 2, "rnig=3"),
        (
            "--mode snapshot --vcpus 200 -- tickets=small",
            2,
            "at most 128",
        ),
        ("--mode snapshot --kick kvm --halt vmm", 2, "--halt vmm"),
        (
            "--mode migrate --vcpus 100000 -- lock=tas",
            2,
            "--vcpus 100000",
        ),
    ] {
        let refused = Vmm::new("soak").words(line).finish();
        assert_eq!(refused.code, code, "{refused}");
        assert!(refused.one_line().contains(says), "{refused}");
        assert_eq!(refused.stdout, "", "{refused}");
    }
}

/// A soak without an end, its folder, and the processes that it started, once it does cycles.
fn endless(folder: &Folder, mode: &str) -> (Child, PathBuf, Vec<PathBuf>) {
    let child = Vmm::new(&format!(
        "soak --mode {mode} --cycles 1000000 --json - --dir"
    ))
    .arg(folder.path(""))
    .spawn();
    let own = folder.path(&format!("vmm-soak-{}", child.id()));
    // The third process is there after the first cycle.
    until("a cycle", || own.join("3.api").exists());
    let mut machines = Vec::new();
    until("a machine", || {
        machines = children(child.id());
        !machines.is_empty()
    });
    (child, own, machines)
}

fn children(id: u32) -> Vec<PathBuf> {
    let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let ids = list.split_whitespace();
    ids.map(|id| Path::new("/proc").join(id)).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what} never comes");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn ctrl_c_ends_it_with_a_report_and_leaves_nothing() {
    for mode in ["snapshot", "migrate"] {
        let folder = Folder::new(&format!("soak-interrupt-{mode}"));
        let (child, own, machines) = endless(&folder, mode);
        assert!(signal("INT", child.id()));
        let finished = wait(child, format!("vmm soak --mode {mode}"));
        assert_eq!(finished.code, 1, "{finished}");
        let json: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
        assert_eq!(json["ended_by"], "interrupt", "{finished}");
        assert!(finished.stderr.starts_with("STOPPED"), "{finished}");
        assert!(!own.exists());
        assert!(machines.iter().all(|machine| !machine.exists()));
    }
}

#[test]
fn no_machine_survives_a_soak_that_is_killed() {
    let folder = Folder::new("soak-killed");
    let (mut child, _, machines) = endless(&folder, "snapshot");
    assert!(signal("KILL", child.id()));
    child.wait().unwrap();
    until("the machines' end", || {
        machines.iter().all(|machine| is_gone(machine))
    });
}

/// Nobody may be there to reap it.
fn is_gone(machine: &Path) -> bool {
    fs::read_to_string(machine.join("stat")).map_or(true, |stat| stat.contains(") Z "))
}
