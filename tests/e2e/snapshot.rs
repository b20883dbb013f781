//! Machines that are saved, looked at and restored, as a user does it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use vmm::machine::saved::SavedMachine;
use vmm::snapshot::{CheckedSnapshot, write};
use vmm_tests::command::{Finished, Folder, Vmm, binary, skip, wait};

/// A machine that does not answer by then never will.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// A machine whose guest halts with interrupts off next, and was kicked already.
const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/golden/machine-v1.snap"
);
/// Long enough that nobody comes late to pause it.
const PAYLOAD: &str = "seconds=4 threshold=1 hold=100 think=0 window=1000 io=4 clocks=on";

/// A `vmm` with an API socket.
struct Running {
    child: Child,
    socket: PathBuf,
    line: String,
}

impl Running {
    /// Starts it and waits until it answers.
    fn start(vmm: &Vmm, socket: PathBuf) -> Self {
        let vmm = vmm.clone();
        let line = vmm.line();
        let child = vmm.spawn();
        Self::answering(child, socket, line)
    }

    fn answering(child: Child, socket: PathBuf, line: String) -> Self {
        let running = Self {
            child,
            socket,
            line,
        };
        let start = Instant::now();
        while running.ask("status").code != 0 {
            assert!(
                start.elapsed() < GIVE_UP_AFTER,
                "{} is silent",
                running.line
            );
            thread::sleep(Duration::from_millis(5));
        }
        running
    }

    /// The payload on 3 vCPUs, stopped once it takes locks.
    fn paused(folder: &Folder, halt: &str, ring: u32) -> Self {
        let socket = folder.path(&format!("{halt}{ring}.sock"));
        let vmm = Vmm::new("run --vcpus 3 --memory 16M --kick vmm --halt")
            .words(halt)
            .words("--api")
            .arg(&socket)
            .words(&format!("-- ring={ring} {PAYLOAD}"));
        let running = Self::start(&vmm, socket);
        while running.status()["payload"]["acquisitions"] == 0 {}
        running.ok("pause");
        running
    }

    fn command(&self, words: &str) -> Vmm {
        Vmm::new(words).words("--api").arg(&self.socket)
    }

    fn ask(&self, words: &str) -> Finished {
        self.command(words).finish()
    }

    fn ok(&self, words: &str) {
        let done = self.ask(words);
        assert_eq!(done.code, 0, "{done}");
    }

    fn status(&self) -> Value {
        let done = self.ask("status --json");
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done}"))
    }

    fn snapshot(&self, file: &Path) -> Finished {
        self.command("snapshot").arg(file).finish()
    }

    /// Runs it to its end, where every check has held.
    fn passes(self) {
        let done = wait(self.child, self.line);
        assert_eq!(done.code, 0, "{done}");
        assert!(done.stdout.contains("PASSED: every check held"), "{done}");
    }
}

fn inspect(file: &Path) -> Value {
    let done = Vmm::new("inspect --json --verify").arg(file).finish();
    assert_eq!(done.code, 0, "{done}");
    serde_json::from_str(&done.stdout).unwrap()
}

fn restore(file: &Path) -> Vmm {
    Vmm::new("restore").arg(file)
}

fn assert_passes(done: &Finished) {
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("PASSED: every check held"), "{done}");
}

#[test]
fn a_machine_is_saved_and_both_it_and_its_copies_pass() {
    let folder = Folder::new("saved");
    for halt in ["kvm", "vmm"] {
        for ring in [0, 3] {
            let file = folder.path(&format!("{halt}{ring}.snap"));
            let source = Running::paused(&folder, halt, ring);
            let saved = source.snapshot(&file);
            assert_eq!(saved.code, 0, "{saved}");
            assert!(saved.stdout.starts_with("SAVED "), "{saved}");
            assert_eq!(source.status()["state"], "paused");
            // Once more, while it runs.
            source.ok("resume");
            let again = source.snapshot(&file);
            assert_eq!(again.code, 0, "{again}");
            source.passes();
            let seen = inspect(&file);
            assert_eq!(seen["machine"]["halt"], halt);
            assert_eq!(seen["vcpus"].as_array().unwrap().len(), 3);
            assert_eq!(seen["memory"]["checked"], "good");
            assert_passes(&restore(&file).finish());
        }
    }
}

#[test]
fn a_machine_restored_paused_is_as_it_was_until_it_is_told_to_go_on() {
    let folder = Folder::new("restored-paused");
    let (first, second) = (folder.path("first.snap"), folder.path("second.snap"));
    let source = Running::paused(&folder, "kvm", 3);
    assert_eq!(source.snapshot(&first).code, 0);
    source.ok("stop");
    let socket = folder.path("there.sock");
    let vmm = restore(&first).words("--paused --api").arg(&socket);
    let restored = Running::start(&vmm, socket);
    let status = restored.status();
    assert_eq!(status["state"], "paused");
    let hidden = inspect(&first)["hidden_kicks"].clone();
    assert_eq!(status["kicks_repaired"], hidden);

    assert_eq!(restored.snapshot(&second).code, 0);
    let [mut one, mut other] = [&first, &second].map(|file| inspect(file));
    for seen in [&mut one, &mut other] {
        seen["file"] = Value::Null;
        // KVM writes into the guest's kvmclock pages while it takes its MSRs.
        let sections = seen["sections"].as_array_mut().unwrap();
        sections.retain(|section| section["name"] != "memory map");
        assert_eq!(sections.len(), 4 + 3);
    }
    assert_eq!(one, other);
    assert_eq!(restored.status()["payload"], status["payload"]);
    restored.ok("resume");
    restored.passes();
}

/// What is no snapshot, or a bad one: name, content, exit code of `inspect`, what it says.
fn bad_files(good: &[u8]) -> Vec<(&'static str, Vec<u8>, i32, &'static str)> {
    let changed = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let with_header = |at: usize, value: u32| {
        let mut bytes = good.to_vec();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let table = |at: usize, value: u32| {
        let mut bytes = good.to_vec();
        bytes[64 + at..64 + at + 4].copy_from_slice(&value.to_le_bytes());
        let sections = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        let crc = crc32fast::hash(&bytes[64..64 + 40 * sections]);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let first_section = 64 + 40 * u32::from_le_bytes(good[16..20].try_into().unwrap()) as usize;
    vec![
        ("empty", Vec::new(), 2, "is 0 bytes long"),
        ("text", vec![b'a'; 5000], 2, "is no snapshot of vmm"),
        (
            "truncated",
            good[..good.len() - 4096].to_vec(),
            1,
            "was cut off",
        ),
        ("header", changed(17), 1, "header: CRC"),
        ("table", changed(70), 1, "table of sections: CRC"),
        (
            "section",
            changed(first_section + 3),
            1,
            "section 0 (machine): CRC",
        ),
        ("newer", with_header(8, 2), 2, "format version 2"),
        ("newer-section", table(8, 7), 2, "has version 7"),
        (
            "unknown-section",
            table(0, 77),
            2,
            "section 77 is not known",
        ),
    ]
}

#[test]
fn what_is_no_good_snapshot_is_refused_in_one_line() {
    let folder = Folder::new("bad-snapshots");
    let good = fs::read(GOLDEN).unwrap();
    for (name, content, code, says) in bad_files(&good) {
        let file = folder.file(name, &content);
        for (done, code) in [
            (restore(&file).finish(), 2),
            (Vmm::new("inspect").arg(&file).finish(), code),
            (
                Vmm::new("inspect --json --verify").arg(&file).finish(),
                code,
            ),
        ] {
            assert_eq!(done.code, code, "{name}: {done}");
            let line = done.one_line();
            assert!(line.contains(name) && line.contains(says), "{name}: {line}");
            assert_eq!(done.stdout, "", "{done}");
        }
    }
    for (path, says) in [
        (folder.path("nobody"), "No such file"),
        (folder.path(""), "is no regular file"),
        ("/dev/zero".into(), "is no regular file"),
    ] {
        for command in ["restore", "inspect"] {
            let done = Vmm::new(command).arg(&path).finish();
            assert_eq!(done.code, 2, "{done}");
            assert!(done.one_line().contains(says), "{done}");
        }
    }
}

#[test]
fn damaged_memory_is_found_by_verify_alone() {
    let folder = Folder::new("damaged-memory");
    let mut bytes = fs::read(GOLDEN).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let file = folder.file("damaged.snap", &bytes);
    let done = Vmm::new("inspect").arg(&file).finish();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("memory was not read"), "{done}");
    let done = Vmm::new("inspect --verify").arg(&file).finish();
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stdout.starts_with("DAMAGED"), "{done}");
    assert!(done.one_line().contains("memory at 0x1"), "{done}");
    let done = Vmm::new("inspect --verify").arg(GOLDEN).finish();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.starts_with("GOOD: every byte"), "{done}");
}

/// The golden machine, changed, under another name.
fn rewritten(file: &Path, change: impl Fn(&mut SavedMachine)) {
    let snapshot = CheckedSnapshot::open(Path::new(GOLDEN)).unwrap();
    let mut saved = SavedMachine::read(&snapshot).unwrap();
    change(&mut saved);
    let memory = snapshot.map_memory().unwrap();
    write(file, saved.sections().unwrap(), &memory, &mut |_| {}).unwrap();
}

/// Whether the golden machine's host was like this one.
fn golden_fits() -> bool {
    let done = restore(Path::new(GOLDEN)).words("--force").finish();
    if done.code == 3 {
        skip("the golden machine", done.stderr.trim());
    }
    done.code != 3
}

#[test]
fn a_host_that_lacks_something_is_told_what_and_force_goes_on() {
    if !golden_fits() {
        return;
    }
    let folder = Folder::new("other-host");
    let file = folder.path("other.snap");
    rewritten(&file, |saved| {
        let needs = saved.description.needs.cpuid.as_mut_slice();
        // No CPU has every feature that this register has room for.
        let leaf = needs
            .iter_mut()
            .find(|entry| (entry.function, entry.index) == (7, 0));
        leaf.unwrap().edx = u32::MAX;
    });
    let done = restore(&file).finish();
    assert_eq!(done.code, 3, "{done}");
    let lines: Vec<_> = done.stderr.lines().collect();
    assert!(lines[0].contains("this host lacks what the guest was shown; --force"));
    assert!(
        lines[1].starts_with("  CPUID 0x7.0 EDX bit ") && lines.len() > 2,
        "{done}"
    );
    let done = restore(&file).words("--force").finish();
    assert_eq!(done.code, 0, "{done}");
}

#[test]
fn a_machine_that_cannot_be_is_the_files_fault() {
    let folder = Folder::new("absurd");
    type Change = fn(&mut SavedMachine);
    let cases: [(&str, Change); 4] = [
        ("vcpu 2", |it| it.description.blueprint.cores = 1 << 30),
        ("topology", |it| it.description.blueprint.cores = 0),
        ("memory", |it| it.description.blueprint.memory_bytes = 0),
        ("memory", |it| {
            it.description.blueprint.memory_bytes = 1 << 40
        }),
    ];
    for (at, (says, change)) in cases.into_iter().enumerate() {
        let file = folder.path(&format!("{at}.snap"));
        rewritten(&file, |saved| {
            change(saved);
            if at == 1 {
                saved.state.vcpus.clear();
            }
        });
        let done = restore(&file).within_mib(1024).finish();
        assert_eq!(done.code, 2, "{done}");
        assert!(done.one_line().contains(says), "{says}: {done}");
        let done = Vmm::new("inspect").arg(&file).finish();
        assert_eq!(done.code, 1, "{done}");
    }
}

#[test]
fn a_hidden_kick_is_shown_and_repaired_and_without_repair_the_guest_hangs() {
    let seen = inspect(Path::new(GOLDEN));
    assert_eq!(seen["hidden_kicks"], 1);
    assert_eq!(seen["vcpus"][0]["mp_state"], "runnable");
    assert_eq!(seen["vcpus"][0]["hidden_kick"], true);
    assert_eq!(seen["vcpus"][1]["state"], "waiting-for-sipi");
    if !golden_fits() {
        return;
    }
    for golden in [GOLDEN.to_owned(), GOLDEN.replace("v1", "v1-halt-vmm")] {
        let done = restore(Path::new(&golden)).words("--force").finish();
        assert_eq!(done.code, 0, "{done}");
        let run = restore(Path::new(&golden))
            .words("--force --no-repair")
            .report();
        run.ended("hung", 1);
        let lost = run.at("/hang/vcpus/0");
        assert_eq!(lost["activity"], "halted", "{}", run.finished);
        assert_eq!(lost["pv_unhalted"], false);
    }
}

#[test]
fn a_snapshot_that_cannot_be_written_leaves_the_machine_running() {
    let folder = Folder::new("no-room");
    let socket = folder.path("full.sock");
    // The file's limit is the disk's end.
    let child = Command::new("sh")
        .args(["-c", "ulimit -f 64 && exec \"$0\" \"$@\""])
        .arg(binary())
        .args(["run", "--vcpus", "2", "--memory", "16M", "--api"])
        .arg(&socket)
        .args([
            "--",
            "ring=3",
            "seconds=4",
            "threshold=1",
            "io=4",
            "clocks=on",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let source = Running::answering(child, socket, "vmm run, little room".to_owned());
    for (file, says) in [
        (folder.path("full.snap"), "File too large"),
        (folder.path(""), "vmm-no-room"),
        (folder.path("no/folder.snap"), "folder"),
        ("/proc/snapshot".into(), "/proc"),
        ("/dev/null".into(), "/dev/null"),
    ] {
        let refused = source.snapshot(&file);
        assert_eq!(refused.code, 1, "{refused}");
        assert!(refused.one_line().contains(says), "{refused}");
        assert_eq!(source.status()["state"], "running");
    }
    let left: Vec<_> = folder.content().into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["full.sock"]);
    source.passes();
}

#[test]
fn a_relative_path_is_where_the_command_was_given() {
    let folder = Folder::new("relative");
    let source = Running::paused(&folder, "vmm", 3);
    let status = Command::new(binary())
        .current_dir(folder.path(""))
        .args(["snapshot", "here.snap", "--stop", "--api"])
        .arg(&source.socket)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let stopped = wait(source.child, source.line);
    assert!(stopped.stdout.contains("STOPPED over the API"), "{stopped}");
    assert_passes(&restore(&folder.path("here.snap")).finish());
}
