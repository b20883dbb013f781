//! `vmm stats`, as a user and a script see it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use vmm_tests::command::{self, Folder, Vmm, binary};
use vmm_tests::process::Process;

/// Long enough for whoever looks; ended by the test.
const BUSY: &str = "ring=3 threshold=1 hold=100 think=0 seconds=600";

struct Machine {
    process: Process,
    socket: std::path::PathBuf,
    _folder: Folder,
}

impl Machine {
    /// The payload on 3 vCPUs, with some kicks behind it.
    fn start(name: &str, halt: &str) -> Self {
        let folder = Folder::new(name);
        let socket = folder.path("api");
        let vmm = Vmm::run("--memory 16M --vcpus 3 --kick vmm --halt")
            .words(halt)
            .words("--api")
            .arg(&socket)
            .words(&format!("-- {BUSY}"));
        let process = Process::start(&vmm, &socket);
        let mut client = process.client();
        while client
            .status()
            .unwrap()
            .payload
            .is_none_or(|payload| payload.halts < 10)
        {}
        Self {
            process,
            socket,
            _folder: folder,
        }
    }

    fn stats(&self, words: &str) -> Vmm {
        Vmm::new("stats --api").arg(&self.socket).words(words)
    }

    /// `vmm stats --watch`, line by line.
    fn watch(&self, words: &str) -> (Child, impl Iterator<Item = String> + use<>) {
        let mut child = Command::new(binary())
            .args(["stats", "--watch", "0.05", "--api"])
            .arg(&self.socket)
            .args(words.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map(Result::unwrap))
    }
}

#[test]
fn each_vcpu_is_shown_with_what_it_does_and_has_done() {
    for halt in ["kvm", "vmm"] {
        let machine = Machine::start(&format!("stats-{halt}"), halt);
        let shown = machine.stats("").finish();
        assert_eq!(shown.code, 0, "{shown}");
        assert!(shown.stdout.starts_with("RUNNING, up "), "{shown}");
        for label in ["kicks ", "all vCPUs", "wait ", "exits ", "vCPU "] {
            assert!(
                shown.stdout.lines().any(|line| line.starts_with(label)),
                "{label}: {shown}"
            );
        }
        let answer = machine.stats("--json").finish();
        let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
        let vcpus = answer["vcpus"].as_array().unwrap();
        assert_eq!(vcpus.len(), 3);
        let sum =
            |field: &str| -> u64 { vcpus.iter().map(|vcpu| vcpu[field].as_u64().unwrap()).sum() };
        for vcpu in vcpus {
            let by_reason = vcpu["exits_by_reason"].as_object().unwrap().values();
            let by_reason: u64 = by_reason.map(|count| count.as_u64().unwrap()).sum();
            assert!(by_reason > 0 && vcpu["exits"].as_u64().unwrap() >= by_reason);
            assert!(["running", "halted"].contains(&vcpu["state"].as_str().unwrap()));
        }
        // Read one after the other while kicks go on.
        let handled = answer["kicks"]["handled"].as_u64().unwrap();
        assert!(handled > 0 && sum("kicks_sent") >= handled);
        assert!(sum("kicks_received") > 0 && sum("halts") > 0);
        assert!(answer["wait_ns"]["p50"].as_u64() <= answer["wait_ns"]["max"].as_u64());
        assert_eq!(machine.process.stop().code, 0);
    }
}

#[test]
fn a_paused_machine_is_shown_as_it_stands() {
    let machine = Machine::start("stats-paused", "vmm");
    machine.process.client().pause().unwrap();
    let first = machine.stats("--json").finish().stdout;
    let second = machine.stats("--json").finish().stdout;
    let (mut first, mut second): (Value, Value) = (
        serde_json::from_str(&first).unwrap(),
        serde_json::from_str(&second).unwrap(),
    );
    assert_eq!(first["state"], "paused");
    first["uptime_seconds"].take();
    second["uptime_seconds"].take();
    assert_eq!(first, second);
}

#[test]
fn in_a_pipe_every_sample_is_a_line_until_the_machine_ends() {
    let machine = Machine::start("stats-end", "vmm");
    let (child, mut lines) = machine.watch("");
    let first = lines.next().unwrap();
    assert!(
        first.contains("RUNNING  kicks ") && !first.contains("/s"),
        "{first}"
    );
    let second = lines.next().unwrap();
    assert!(second.contains("/s"), "{second}");
    assert!(!second.contains('\x1b'));
    assert_eq!(machine.process.stop().code, 0);
    lines.for_each(drop);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn each_sample_is_a_line_of_json_for_scripts() {
    let machine = Machine::start("stats-json", "vmm");
    let (mut child, lines) = machine.watch("--json");
    let samples: Vec<Value> = lines
        .take(3)
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    assert!(
        samples.is_sorted_by_key(|sample| sample["uptime_seconds"].as_f64().unwrap().to_bits())
    );
    // The reader has gone.
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn ctrl_c_is_a_good_end() {
    for signal in ["INT", "TERM"] {
        let machine = Machine::start("stats-signal", "vmm");
        let (mut child, mut lines) = machine.watch("");
        lines.next().unwrap();
        assert!(command::signal(signal, child.id()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn on_a_terminal_the_table_stays_in_its_place() {
    let machine = Machine::start("stats-terminal", "vmm");
    // script(1) is a terminal for what it runs.
    let line = format!(
        "{} stats --watch 0.05 --api {}",
        binary().display(),
        machine.socket.display()
    );
    let Ok(mut child) = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
    else {
        vmm_tests::command::skip("a terminal", "no script(1)");
        return;
    };
    let mut shown = Vec::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    // Three times over the same rows.
    while String::from_utf8_lossy(&shown).matches("RUNNING").count() < 3 {
        assert!(reader.read_until(b'\n', &mut shown).unwrap() > 0);
    }
    let text = String::from_utf8_lossy(&shown).into_owned();
    assert!(text.contains("\x1b[K") && text.contains('F'), "{text:?}");
    machine.process.stop();
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn without_a_machine_it_says_so() {
    let folder = Folder::new("stats-nobody");
    for words in ["", "--watch"] {
        let refused = Vmm::new("stats --api")
            .arg(folder.path("nobody"))
            .words(words)
            .finish();
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.one_line().contains("no such socket"), "{refused}");
    }
    let refused = Vmm::new("stats --api nobody --watch 0").finish();
    assert_eq!(refused.code, 2, "{refused}");
}
