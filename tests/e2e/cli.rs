//! The command line as its reference describes it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader, Read};

use serde_json::Value;
use vmm_tests::command::{self, Folder, Vmm, wait};
use vmm_tests::elf::Elf;
use vmm_tests::guest_code;

const SCHEMA: &str = include_str!("../../docs/reference/run-report.schema.json");

/// A run of the payload that takes next to no time.
fn short(line: &str) -> Vmm {
    Vmm::run(line).words("--timeout 30 -- ring=3 seconds=0.05")
}

fn assert_valid(report: &Value) {
    let schema = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(report)
        .map(|e| e.to_string())
        .collect();
    assert!(faults.is_empty(), "{faults:?} in {report:#}");
}

#[test]
fn help_names_every_command_and_option() {
    let help = Vmm::new("--help").finish();
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for command in ["run", "conformance", "doctor"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{help}");
    }
    let help = Vmm::run("--help").finish();
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for option in [
        "--vcpus <N>",
        "--memory <SIZE>",
        "--topology <LIST>",
        "--kick <KICK>",
        "--halt <HALT>",
        "--pv-unhalt <on|off>",
        "--enforce-pv",
        "--hint-realtime",
        "--halt-poll-ns <N>",
        "--disable-exits <LIST>",
        "--cpus <LIST>",
        "--timeout <SECONDS>",
        "--serial <stdio|null|FILE>",
        "--json <FILE|->",
        "--drop-kick <K>",
        "[GUEST]",
        "[GUEST_ARGS]",
    ] {
        assert!(help.stdout.contains(option), "no {option} in {help}");
    }
    assert!(help.stdout.lines().all(|line| line.len() <= 100), "{help}");
}

#[test]
fn the_version_is_the_packages() {
    let short = Vmm::new("-V").finish();
    assert_eq!(short.stdout, format!("vmm {}\n", env!("CARGO_PKG_VERSION")));
    let long = Vmm::new("--version").finish();
    let revision = long.stdout.strip_prefix(short.stdout.trim_end()).unwrap();
    assert!(
        revision.starts_with(" (") && revision.ends_with(")\n"),
        "{long}"
    );
    assert_eq!((short.code, long.code), (0, 0));
}

#[test]
fn json_on_standard_output_is_all_that_is_there() {
    let run = short("--vcpus 2").report();
    run.ended("completed", 0);
    assert!(run.finished.stdout.ends_with("}\n"));
    assert_valid(&run.json);
    assert_eq!(run.text("/schema"), "vmm.run/1");
    // The table and the guest's own line went to the other side.
    assert!(run.finished.stderr.contains("PASS"), "{}", run.finished);
    assert!(run.finished.stderr.contains("every check held"));
}

#[test]
fn every_ending_is_a_valid_report() {
    let folder = Folder::new("endings");
    let mut crash = Elf::guest(guest_code!(".code32", "ud2"));
    crash.segments[0].mem_bytes += 0x1000;
    let crash = folder.file("crash", &crash.bytes());
    let halt = folder.file("halt", &Elf::guest(guest_code!(".code32", "hlt")).bytes());
    let lost = "--kick vmm --drop-kick 40 --timeout 20 -- ring=3 seconds=30 threshold=1 mortal=0";
    for (vmm, outcome) in [
        (Vmm::run("--vcpus 1").arg(crash), "crashed"),
        (Vmm::run("--vcpus 1").arg(halt), "hung"),
        (Vmm::run(lost), "hung"),
        (Vmm::run("--timeout 0.3 -- seconds=20 ring=3"), "timeout"),
        (
            short("--hint-realtime --pv-unhalt off --enforce-pv"),
            "completed",
        ),
        (
            short("--topology sockets=1,cores=2,threads=2 --cpus 0"),
            "completed",
        ),
    ] {
        let run = vmm.report();
        assert_eq!(run.text("/outcome"), outcome, "{}", run.finished);
        assert_valid(&run.json);
    }
}

#[test]
fn json_in_a_file_comes_beside_the_table() {
    let folder = Folder::new("json");
    let path = folder.file("report.json", b"of yesterday");
    let run = Vmm::run("--vcpus 2 --json")
        .arg(&path)
        .words("--timeout 30 -- ring=3 seconds=0.05")
        .finish();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
    assert!(run.stdout.contains("every check held"), "{run}");
    let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_valid(&report);
    assert_eq!(folder.content().len(), 1, "a temporary file is left");
}

#[test]
fn a_pipe_sees_no_progress_line_and_no_colours() {
    // Longer than the interval of the progress line.
    let run = Vmm::run("--vcpus 2 --timeout 30 -- ring=3 seconds=0.7").finish();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
    assert!(!run.stdout.contains(['\x1b', '\r']), "{run}");
}

#[test]
fn a_timeout_is_an_outcome_of_its_own() {
    let run = Vmm::run("--vcpus 2 --timeout 0.3 -- ring=3 seconds=60").report();
    run.ended("timeout", 1);
    assert_eq!(run.text("/ended_by"), "timeout");
    assert!(run.count("/acquisitions") > 0, "{}", run.finished);
}

/// Starts a run, sends `signal` once the guest has said something, and looks at the report.
fn interrupted_by(signal: &str) {
    let folder = Folder::new(&format!("signal-{signal}"));
    let code = guest_code!(
        ".code32",
        "mov dx, 0x3f8; mov al, 0x0a; out dx, al; 2: jmp 2b"
    );
    let guest = folder.file("guest", &Elf::guest(code).bytes());
    let report = folder.path("report.json");
    let vmm = Vmm::run("--vcpus 2 --timeout 60 --json")
        .arg(&report)
        .arg(guest);
    let mut child = vmm.spawn();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "\n");
    assert!(command::signal(signal, child.id()));
    let mut table = String::new();
    stdout.read_to_string(&mut table).unwrap();
    let ended = wait(child, vmm.line());
    let json: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_valid(&json);
    assert_eq!(json["ended_by"], "interrupt", "{table}");
    // The guest had not finished.
    assert_eq!(json["outcome"], "timeout", "{table}");
    assert_eq!(ended.code, 1, "{ended}");
    assert!(table.starts_with("STOPPED by the user"), "{table}");
    assert!(table.contains("2 vCPUs"), "{table}");
}

#[test]
fn ctrl_c_ends_a_run_and_prints_the_report() {
    interrupted_by("INT");
}

#[test]
fn sigterm_ends_a_run_and_prints_the_report() {
    interrupted_by("TERM");
}

#[test]
fn a_reader_that_stalls_does_not_keep_a_run_from_ending() {
    let folder = Folder::new("stalled");
    let code = guest_code!(
        ".code32",
        "mov dx, 0x3f8; mov al, 0x0a; 2: out dx, al; jmp 2b"
    );
    let guest = folder.file("guest", &Elf::guest(code).bytes());
    let report = folder.path("report.json");
    let vmm = Vmm::run("--vcpus 2 --timeout 60 --json")
        .arg(&report)
        .arg(guest);
    let mut child = vmm.spawn();
    let unread = child.stdout.take().unwrap();
    // A pipe has 16 pages, and with a byte in the last it polls full; what waits is not counted.
    let written = || -> u64 {
        let counts = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
        let line = counts.lines().find_map(|line| line.strip_prefix("wchar: "));
        line.unwrap().parse().unwrap()
    };
    while written() <= 15 * 4096 {
        std::thread::yield_now();
    }
    assert!(command::signal("TERM", child.id()));
    let ended = wait(child, vmm.line());
    drop(unread);
    assert_eq!(ended.code, 1, "{ended}");
    let json: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!(json["ended_by"], "interrupt");
}

#[test]
fn the_serial_port_goes_where_it_is_told() {
    let folder = Folder::new("serial");
    let path = folder.file("log", &[b'x'; 4096]);
    let run = Vmm::run("--vcpus 1 --serial").arg(&path);
    let run = run.words("--timeout 30 -- ring=3 seconds=0.05").finish();
    assert_eq!(run.code, 0, "{run}");
    let log = fs::read_to_string(&path).unwrap();
    assert!(
        log.starts_with("guest-payload: ") && log.ends_with("PASS\n"),
        "{log}"
    );
    assert!(!run.stdout.contains("guest-payload: "), "{run}");
    let silent = short("--vcpus 1 --serial null").finish();
    assert!(!silent.stdout.contains("guest-payload: "), "{silent}");
    let loud = short("--vcpus 1 --serial stdio").finish();
    assert!(loud.stdout.starts_with("guest-payload: "), "{loud}");
}

#[test]
fn vcpus_may_be_kept_on_one_host_cpu() {
    let run = short("--vcpus 3 --cpus 0").report();
    run.ended("completed", 0);
    assert_eq!(run.at("/config/host_cpus"), &serde_json::json!([0]));
}

#[test]
fn a_topology_gives_sparse_apic_ids() {
    let run = short("--topology sockets=2,cores=3,threads=1").report();
    run.ended("completed", 0);
    let vcpus = run.list("/vcpus");
    let ids: Vec<_> = vcpus.iter().map(|vcpu| vcpu["apic_id"].as_u64()).collect();
    assert_eq!(ids, [0, 1, 2, 4, 5, 6].map(Some));
    assert!(
        vcpus
            .iter()
            .all(|vcpu| vcpu["acquisitions"].as_u64() > Some(0))
    );
}

#[test]
fn memory_goes_around_the_hole_below_4_gib() {
    let run = short("--vcpus 2 --memory 4G").report();
    run.ended("completed", 0);
    assert_eq!(run.count("/config/memory_bytes"), 4 << 30);
}

#[test]
fn the_least_memory_is_enough_for_the_payload() {
    short("--vcpus 2 --memory 2M")
        .report()
        .ended("completed", 0);
}

#[test]
fn words_behind_the_dashes_are_the_guests() {
    let run = short("--vcpus 2")
        .words("lock=tas seed=9 hold=7 think=8 locks=3")
        .report();
    run.ended("completed", 0);
    assert_eq!(run.text("/config/lock"), "tas");
    for (field, value) in [("seed", 9), ("hold", 7), ("think", 8), ("locks", 3)] {
        assert_eq!(run.count(&format!("/config/{field}")), value);
    }
}
