//! The life of each kick, as a trace viewer finds it in the file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use vmm_tests::command::{Folder, Vmm};

/// More vCPUs than most test machines have pCPUs, and waiters that halt at once.
const CONTENDED: &str = "ring=3 threshold=1 hold=100 think=0";

/// A trace, read as a viewer reads it.
struct Trace(Value);

/// One end of an arrow: process, thread and time in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    pid: u64,
    tid: u64,
    ns: u64,
}

const GUEST: u64 = 1;
const HOST: u64 = 2;

#[expect(clippy::cast_possible_truncation, reason = "ns of minutes at most")]
fn ns(event: &Value, field: &str) -> u64 {
    (event[field].as_f64().unwrap() * 1000.0).round() as u64
}

fn step(event: &Value) -> Step {
    Step {
        pid: event["pid"].as_u64().unwrap(),
        tid: event["tid"].as_u64().unwrap(),
        ns: ns(event, "ts"),
    }
}

impl Trace {
    fn read(path: &Path) -> Self {
        Self(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    }

    fn events(&self, ph: &str) -> impl Iterator<Item = &Value> {
        let events = self.0["traceEvents"].as_array().unwrap().iter();
        let ph = ph.to_owned();
        events.filter(move |event| event["ph"] == *ph)
    }

    fn count(&self, field: &str) -> u64 {
        self.0["otherData"][field].as_u64().unwrap()
    }

    /// The slices of one name, by where they begin.
    fn slices(&self, name: &str) -> BTreeMap<(u64, u64, u64), &Value> {
        self.events("X")
            .filter(|slice| slice["name"] == name)
            .map(|slice| {
                let Step { pid, tid, ns } = step(slice);
                ((pid, tid, ns), slice)
            })
            .collect()
    }

    /// The steps of each kick's life, by the arrows' number.
    fn lives(&self) -> BTreeMap<u64, (Vec<Step>, Value)> {
        let mut lives: BTreeMap<u64, (Vec<Step>, Value)> = BTreeMap::new();
        for ph in ["s", "t", "f"] {
            for event in self.events(ph) {
                let id = event["id"].as_u64().unwrap();
                let life = lives.entry(id).or_default();
                assert_eq!(life.0.is_empty(), ph == "s", "{event}");
                life.0.push(step(event));
                if ph == "s" {
                    life.1 = event["args"].clone();
                }
            }
        }
        lives
    }
}

/// Runs the payload and reads its trace.
fn traced(folder: &Folder, switches: &str, guest: &str) -> Trace {
    let file = folder.path("trace.json");
    let run = Vmm::run("--memory 16M --kick vmm")
        .words(switches)
        .words("--trace")
        .arg(&file)
        .words(&format!("-- {guest}"))
        .finish();
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("from unlock to acquire"), "{run}");
    Trace::read(&file)
}

#[test]
fn every_kick_is_followed_from_unlock_to_acquire_on_host_and_guest() {
    let folder = Folder::new("trace-lives");
    for halt in ["kvm", "vmm"] {
        let trace = traced(
            &folder,
            &format!("--halt {halt} --vcpus 4"),
            &format!("{CONTENDED} seconds=0.5"),
        );
        let steps = ["unlock", "kick", "wake", "run", "acquire"].map(|name| trace.slices(name));
        let mut whole = 0;
        for (id, (life, about)) in trace.lives() {
            assert!(
                life.is_sorted_by_key(|step| step.ns),
                "{halt} {id}: {life:?}"
            );
            if about["whole"] != true {
                continue;
            }
            whole += 1;
            let pids: Vec<_> = life.iter().map(|step| step.pid).collect();
            assert_eq!(pids, [GUEST, HOST, HOST, GUEST, GUEST], "{halt} {id}");
            assert_eq!(life[0].tid, life[1].tid, "who unlocks kicks");
            assert!(life[2..].iter().all(|step| step.tid == life[2].tid));
            assert_ne!(life[0].tid, life[2].tid);
            let slices: Vec<_> = life
                .iter()
                .zip(&steps)
                .map(|(step, slices)| slices[&(step.pid, step.tid, step.ns)])
                .collect();
            let ticket = &slices[0]["args"]["ticket"];
            assert_eq!(&slices[4]["args"]["ticket"], ticket);
            assert_eq!(&slices[4]["args"]["lock"], &slices[0]["args"]["lock"]);
        }
        assert!(whole > 20, "{halt}: {whole}");
        assert_eq!(whole, trace.count("whole"));
        // The others are those of the start line and of the end, and those that came too late.
        let enough = whole * 2 > trace.count("kicks");
        assert!(enough, "{}", trace.0["otherData"]);
        for never in [
            "out_of_order",
            "unexplained_wakes",
            "kicks_without_wake",
            "guest_events_invalid",
        ] {
            assert_eq!(trace.count(never), 0, "{halt}: {never}");
        }
    }
}

#[test]
fn slices_of_a_track_lie_in_or_beside_each_other() {
    let folder = Folder::new("trace-nesting");
    for halt in ["kvm", "vmm"] {
        let trace = traced(
            &folder,
            &format!("--halt {halt} --vcpus 4"),
            &format!("{CONTENDED} seconds=0.2"),
        );
        let mut tracks: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
        for slice in trace.events("X") {
            let Step { pid, tid, ns: ts } = step(slice);
            let track = tracks.entry((pid, tid)).or_default();
            track.push((ts, ts + ns(slice, "dur")));
        }
        for (track, mut slices) in tracks {
            slices.sort_by_key(|(begin, end)| (*begin, std::cmp::Reverse(*end)));
            let mut open: Vec<u64> = Vec::new();
            for (begin, end) in slices {
                open.retain(|outer| *outer > begin);
                let outer = open.last().copied().unwrap_or(u64::MAX);
                assert!(
                    end <= outer,
                    "{halt} {track:?}: {begin} to {end} in {outer}"
                );
                open.push(end);
            }
        }
    }
}

#[test]
fn a_long_run_keeps_the_last_events_and_a_file_of_bounded_size() {
    const RING: u64 = 8192;
    let folder = Folder::new("trace-bounds");
    let trace = traced(
        &folder,
        "--halt vmm --vcpus 4",
        &format!("{CONTENDED} seconds=5"),
    );
    assert!(trace.count("host_events_lost") > 0, "too short a run");
    let slices = trace.events("X").count() as u64;
    // A slice has at least one event, and each of 4 vCPUs has two rings.
    assert!(slices <= 2 * 4 * RING, "{slices}");
    for never in ["out_of_order", "unexplained_wakes", "kicks_without_wake"] {
        assert_eq!(trace.count(never), 0, "{never}");
    }
}

#[test]
fn a_guest_that_notes_nothing_is_traced_by_the_host_alone() {
    let folder = Folder::new("trace-host");
    // The start line and mode=latency are no locks.
    let trace = traced(
        &folder,
        "--halt vmm --vcpus 2",
        "ring=3 mode=latency seconds=0.2",
    );
    let whole: Vec<_> = trace
        .lives()
        .into_values()
        .filter(|(life, _)| life.len() == 3)
        .collect();
    assert!(!whole.is_empty());
    for (life, _) in whole {
        assert!(life.iter().all(|step| step.pid == HOST));
        assert!(life.is_sorted_by_key(|step| step.ns));
    }
    assert_eq!(trace.count("whole"), 0);
}

#[test]
fn a_kick_that_is_dropped_is_in_the_trace_of_the_hang() {
    let folder = Folder::new("trace-drop");
    let file = folder.path("trace.json");
    let run = Vmm::run("--memory 16M --kick vmm --halt vmm --vcpus 2 --drop-kick 9 --trace")
        .arg(&file)
        .words(&format!("-- {CONTENDED} seconds=5"))
        .finish();
    assert_eq!(run.code, 1, "{run}");
    let trace = Trace::read(&file);
    assert_eq!(trace.count("not_delivered"), 1);
}

#[test]
fn a_trace_that_cannot_be_written_is_refused_before_or_said_after_the_report() {
    let folder = Folder::new("trace-disk");
    let refused = Vmm::run("--trace")
        .arg(folder.path("missing/trace.json"))
        .finish();
    assert_eq!(refused.code, 2, "{refused}");
    let line = refused.one_line();
    assert!(
        line.contains("--trace") && line.contains("no such folder"),
        "{line}"
    );

    let full = folder.path("full");
    symlink("/dev/full", &full).unwrap();
    let json = folder.path("report.json");
    let run = Vmm::run("--memory 16M --vcpus 2 --trace")
        .arg(&full)
        .words("--json")
        .arg(&json)
        .words("-- seconds=0.1")
        .finish();
    assert_eq!(run.code, 3, "{run}");
    let line = run.one_line();
    assert!(
        line.contains("--trace /dev/full: cannot be written: No space left"),
        "{line}"
    );
    assert!(run.stdout.contains("PASSED"), "{run}");
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["outcome"], "completed");
}

#[test]
fn a_restored_machine_goes_on_being_traced() {
    let folder = Folder::new("trace-restore");
    let (socket, snapshot) = (folder.path("api"), folder.path("snapshot"));
    let source = Vmm::run("--memory 16M --kick vmm --halt vmm --vcpus 4 --trace")
        .arg(folder.path("source.json"))
        .words("--api")
        .arg(&socket)
        .words(&format!("-- {CONTENDED} seconds=3"));
    let process = vmm_tests::process::Process::start(&source, &socket);
    let mut client = process.client();
    while client
        .status()
        .unwrap()
        .payload
        .is_none_or(|payload| payload.halts < 50)
    {}
    let request = serde_json::json!({ "file": snapshot, "then": "stop" });
    client
        .snapshot(&serde_json::from_value(request).unwrap())
        .unwrap();
    assert_eq!(process.finish().code, 0);
    let target = folder.path("target.json");
    let run = Vmm::new("restore")
        .arg(&snapshot)
        .words("--trace")
        .arg(&target)
        .finish();
    assert_eq!(run.code, 0, "{run}");
    for file in ["source.json", "target.json"] {
        let trace = Trace::read(&folder.path(file));
        assert!(trace.count("whole") > 5, "{file}: {}", trace.0["otherData"]);
        assert_eq!(trace.count("out_of_order"), 0, "{file}");
        assert_eq!(trace.count("unexplained_wakes"), 0, "{file}");
        assert_eq!(trace.count("guest_events_invalid"), 0, "{file}");
    }
}
