//! The payload as an enemy of its host: `mode=havoc`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use serde_json::Value;
use vmm::control::{MigrateRequest, SnapshotRequest, Then, Verify};
use vmm_tests::command::{Finished, Folder, Report, Vmm};
use vmm_tests::process::{LOOK, PATIENCE, Process};

/// What the machines of these tests may take, their 32 MiB of guest memory included.
const LIMIT_MIB: u64 = 300;
/// Exits after which a machine is in the middle of its havoc.
const MIDDLE: u64 = 2000;

/// A run of `guest` that is over, with what its serial port said last.
fn run(folder: &Folder, switches: &str, guest: &str) -> (Report, String) {
    let serial = folder.path("serial");
    let run = Vmm::run(switches)
        .within_mib(LIMIT_MIB)
        .words("--memory 32M --timeout 80 --serial")
        .arg(&serial)
        .words("-- mode=havoc")
        .words(guest)
        .report();
    (run, last_line(&serial))
}

/// Devices under havoc say anything, so the rest need not be text.
fn last_line(serial: &Path) -> String {
    let said = fs::read(serial).unwrap();
    let line = said.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    String::from_utf8_lossy(line.unwrap()).into_owned()
}

/// The number behind `name`.
fn said(line: &str, name: &str) -> u64 {
    let mut words = line.split(' ').skip_while(|word| *word != name).skip(1);
    let number = words.next().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in `{line}`"))
}

#[track_caller]
fn assert_came_through(run: &Report, line: &str, turns: u64) {
    run.ended("completed", 0);
    assert_eq!(run.text("/ended_by"), "guest");
    assert!(line.ends_with(" DONE"), "`{line}`");
    assert!(said(line, "turns") >= turns, "{line}");
    assert_eq!(run.sum("acquisitions"), said(line, "turns"));
}

#[test]
fn the_guest_comes_through_whatever_it_does_under_every_halt_and_apic() {
    let folder = Folder::new("havoc");
    for (seed, switches, apic) in [
        (1, "--halt kvm", "x2apic"),
        (2, "--halt kvm --kick vmm", "xapic"),
        (3, "--halt vmm", "xapic"),
        (4, "--halt vmm", "x2apic"),
    ] {
        let guest = format!("seed={seed} apic={apic} turns=1200");
        let (run, line) = run(&folder, &format!("--vcpus 3 {switches}"), &guest);
        assert_came_through(&run, &line, 1200);
        assert!(said(&line, "faults") > 50, "{line}");
        for exit in ["port_in", "port_out", "mmio_write"] {
            assert!(
                run.count(&format!("/exits/{exit}")) > 10,
                "{}",
                run.finished
            );
        }
    }
}

#[test]
fn so_it_does_under_xen_the_schedulers_spin_exits_and_a_trace() {
    let folder = Folder::new("havoc-beside");
    let trace = folder.path("trace.json");
    for (seed, switches) in [
        (1, "--xen --halt kvm"),
        (2, "--xen --halt vmm --sched fair --pcpus 1"),
        (3, "--halt vmm --sched random --pcpus 2 --ple soft"),
        (4, "--halt kvm --ple soft --on-spin sleep"),
    ] {
        let traced = format!("--vcpus 3 {switches} --trace {}", trace.display());
        let (run, line) = run(&folder, &traced, &format!("seed={seed} turns=1000"));
        assert_came_through(&run, &line, 1000);
        let _: Value = serde_json::from_slice(&fs::read(&trace).unwrap()).unwrap();
    }
}

#[test]
fn init_and_sipi_only_begin_a_vcpus_next_turn() {
    let folder = Folder::new("havoc-init");
    for halt in ["kvm", "vmm"] {
        let switches = format!("--vcpus 3 --halt {halt}");
        let (run, line) = run(&folder, &switches, "deeds=ipis turns=1500");
        assert_came_through(&run, &line, 1500);
        assert!(said(&line, "restarts") > 5, "{line}");
    }
}

#[test]
fn one_vcpu_does_the_same_things_for_the_same_seed() {
    let folder = Folder::new("havoc-seed");
    let exits = |seed: u32| {
        let guest = format!("seed={seed} turns=400 deeds=ports,mmio,kicks,hypercalls");
        let (run, line) = run(&folder, "--vcpus 1 --halt vmm", &guest);
        assert_came_through(&run, &line, 400);
        let count = |reason| run.count(&format!("/exits/{reason}"));
        let reasons = ["port_in", "mmio_read", "mmio_write", "hypercall_stub"];
        // The last line is written to a port too, and says how many ms it took.
        let ports_out = count("port_out") - line.len() as u64;
        let kicks = run.at("/kicks").clone();
        (reasons.map(count), ports_out, kicks, said(&line, "faults"))
    };
    let first = exits(5);
    assert_eq!(exits(5), first);
    assert_ne!(exits(6), first);
}

#[test]
fn a_reckless_guest_takes_its_machine_down_and_the_report_says_how() {
    const SEEDS: usize = 12;
    const CRASHES: u32 = 4;
    /// On a busy host most have no time to come to a crash, so more are tried.
    const SEEDS_MAX: usize = 60;
    let mut crashed = 0;
    for seed in 0..SEEDS_MAX {
        if seed >= SEEDS && crashed >= CRASHES {
            break;
        }
        let halt = ["kvm", "vmm"][seed % 2];
        let run = Vmm::run(&format!("--vcpus 2 --memory 32M --halt {halt} --timeout 2"))
            .within_mib(LIMIT_MIB)
            .words(&format!(
                "--serial null -- mode=havoc deeds=reckless,ports seed={seed}"
            ))
            .report();
        let ended = (run.text("/outcome"), run.finished.code);
        // What it says of itself is not to be trusted any more.
        let ways = [
            ("completed", 0),
            ("violated", 1),
            ("hung", 1),
            ("timeout", 1),
            ("crashed", 4),
        ];
        assert!(ways.contains(&ended), "seed {seed}: {}", run.finished);
        crashed += u32::from(ended.0 == "crashed");
    }
    assert!(crashed >= CRASHES, "only {crashed} of {SEEDS_MAX} crashed");
}

/// A machine in the middle of havoc without an end of its own.
fn endless(folder: &Folder, switches: &str, guest: &str) -> Process {
    let api = folder.path("api");
    let vmm = Vmm::run(switches)
        .within_mib(LIMIT_MIB)
        .words("--memory 32M --serial null --api")
        .arg(&api)
        .words("-- mode=havoc seconds=86400")
        .words(guest);
    let process = Process::start(&vmm, &api);
    wait_for_exits(&process, MIDDLE);
    process
}

fn wait_for_exits(process: &Process, count: u64) {
    let exits = || -> u64 {
        let stats = process.client().stats().unwrap();
        stats.vcpus.iter().map(|vcpu| vcpu.exits).sum()
    };
    let before = exits();
    let limit = Instant::now() + PATIENCE;
    while exits() < before + count {
        assert!(Instant::now() < limit, "no exits for {PATIENCE:?}");
        thread::sleep(LOOK);
    }
}

/// How it ended is the guest's word against nobody's.
fn assert_ended(done: &Finished) {
    assert!([0, 1].contains(&done.code), "{done}");
}

#[test]
fn a_machine_under_havoc_is_stopped_like_any_other() {
    let folder = Folder::new("havoc-stop");
    for halt in ["kvm", "vmm"] {
        let process = endless(&folder, &format!("--vcpus 3 --halt {halt}"), "seed=8");
        process.client().stop().unwrap();
        assert_ended(&process.finish());
        let process = endless(&folder, &format!("--vcpus 3 --halt {halt}"), "seed=9");
        process.signal("TERM");
        let done = process.finish();
        assert_eq!(done.code, 1, "{done}");
    }
}

/// Machines that go elsewhere: a seed, and how they kick and halt.
const ON_ITS_WAY: [(u64, &str); 4] = [
    (1, "--halt kvm"),
    (2, "--halt vmm"),
    (3, "--halt kvm --xen"),
    (4, "--halt vmm --xen"),
];

#[test]
fn a_machine_is_saved_in_the_middle_of_havoc_and_goes_on_with_it() {
    let folder = Folder::new("havoc-saved");
    for (seed, switches) in ON_ITS_WAY {
        let source = endless(
            &folder,
            &format!("--vcpus 3 {switches}"),
            &format!("seed={seed}"),
        );
        let file = folder.path("machine.snap");
        let request = SnapshotRequest {
            file: file.clone(),
            then: Then::Resume,
        };
        source.client().snapshot(&request).unwrap();
        // The source goes on as well.
        wait_for_exits(&source, 200);
        source.client().stop().unwrap();
        assert_ended(&source.finish());
        let inspected = Vmm::new("inspect --json --verify").arg(&file).finish();
        assert_eq!(inspected.code, 0, "{inspected}");
        let api = folder.path("restored");
        let restore = Vmm::new("restore").arg(&file).within_mib(LIMIT_MIB);
        let restored = Process::start(&restore.words("--serial null --api").arg(&api), &api);
        wait_for_exits(&restored, MIDDLE);
        restored.client().stop().unwrap();
        assert_ended(&restored.finish());
    }
}

#[test]
fn a_machine_moves_live_in_the_middle_of_havoc_and_goes_on_with_it() {
    let folder = Folder::new("havoc-moved");
    for (seed, switches) in ON_ITS_WAY {
        let source = endless(
            &folder,
            &format!("--vcpus 3 {switches}"),
            &format!("seed={seed}"),
        );
        let listen = format!("unix:{}", folder.path("to").display());
        let target = Process::receive(&listen, "", &folder.path("target"));
        let request = MigrateRequest {
            verify: Verify::Whole,
            ..MigrateRequest::new(&listen)
        };
        source.migrate(&request).unwrap();
        assert_ended(&source.finish());
        wait_for_exits(&target, MIDDLE);
        target.client().stop().unwrap();
        assert_ended(&target.finish());
    }
}

/// What a snapshot holds, but for the time at which it was taken: the checksums of its sections, and the
/// memory.
fn content(file: &Path) -> (Vec<String>, Vec<u8>) {
    let inspected = Vmm::new("inspect --json --verify").arg(file).finish();
    let seen: Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(seen["memory"]["checked"], "good");
    let sections = seen["sections"].as_array().unwrap().iter();
    let state = sections.filter(|section| section["name"] != "clock");
    let sums = state.map(|section| format!("{} {}", section["name"], section["crc32"]));
    let memory = seen["memory"]["regions"][0]["offset"].as_u64().unwrap();
    let bytes = fs::read(file).unwrap();
    (
        sums.collect(),
        bytes[usize::try_from(memory).unwrap()..].to_vec(),
    )
}

#[test]
fn the_machines_beside_it_are_not_touched() {
    let folder = Folder::new("havoc-beside-others");
    let still = Process::run(
        &folder.path("still"),
        "--vcpus 2 --memory 32M",
        "fill=8M seconds=86400",
    );
    let busy = Process::run(
        &folder.path("busy"),
        "--vcpus 2 --memory 32M",
        "fill=8M dirty=1 io=4 clocks=on seconds=86400",
    );
    still.client().pause().unwrap();
    let saved = |name: &str| {
        let path = folder.path(name);
        let request = SnapshotRequest {
            file: path.clone(),
            then: Then::StayPaused,
        };
        still.client().snapshot(&request).unwrap();
        content(&path)
    };
    let before = saved("before");
    let (havoc, line) = run(&folder, "--vcpus 3 --halt kvm", "seed=11 turns=1500");
    assert_came_through(&havoc, &line, 1500);
    let (havoc, line) = run(&folder, "--vcpus 3 --halt vmm --xen", "seed=12 turns=1500");
    assert_came_through(&havoc, &line, 1500);
    let after = saved("after");
    assert_eq!(after.0, before.0);
    assert!(
        after.1 == before.1,
        "the memory of the machine that stood still has changed"
    );
    still.client().resume().unwrap();
    still.stop();
    busy.stop();
}
