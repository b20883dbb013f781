//! Arbitrary bytes from a client of the API: every answer is a whole one with a known code, and a
//! machine is asked for nothing that no request asks for.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libfuzzer_sys::fuzz_target;
use vmm::control::{
    MigrateDone, MigrateRequest, Operations, Refusal, RefusalKind, SnapshotDone, SnapshotRequest,
    State, Stats, Status, VcpuState, VcpuStats, fuzzing,
};
use vmm::host::Kind;
use vmm::pv::{HaltIn, KickBy};

/// Less than a socket holds.
const BYTES_MAX: usize = 16 << 10;
const CODES: [u16; 14] = [
    100, 200, 400, 404, 405, 408, 409, 410, 411, 413, 417, 431, 500, 503,
];

/// Does all that it is asked for, every third time.
#[derive(Debug, Default)]
struct Machine {
    asked: AtomicUsize,
}

impl Machine {
    fn ask(&self) -> Result<(), Refusal> {
        let kind = match self.asked.fetch_add(1, Relaxed) % 6 {
            1 => RefusalKind::Conflict,
            2 => RefusalKind::Invalid,
            4 => RefusalKind::Failed,
            5 => RefusalKind::Gone,
            _ => return Ok(()),
        };
        Err(Refusal {
            kind,
            message: "no\r\n\r\n\"no\"".to_owned(),
            details: vec!["why".to_owned()],
        })
    }
}

fn must_be_absolute(path: &Path) {
    assert!(path.is_absolute(), "{path:?}");
}

impl Operations for Machine {
    fn status(&self) -> Status {
        Status {
            state: State::Running,
            version: "0".to_owned(),
            guest: "none".to_owned(),
            vcpus: 1,
            kick: KickBy::Vmm,
            halt: HaltIn::Vmm,
            memory_bytes: 1 << 20,
            host_kind: Kind::Unknown,
            uptime_seconds: 0.5,
            kicks_repaired: 0,
            payload: None,
            operation: None,
        }
    }

    fn stats(&self) -> Stats {
        let vcpu = VcpuStats {
            apic_id: 0,
            state: Some(VcpuState::Halted),
            exits: 1,
            exits_by_reason: BTreeMap::new(),
            kvm_exits: None,
            halts: 1,
            kicks_sent: None,
            kicks_received: None,
            acquisitions: None,
        };
        Stats {
            state: State::Running,
            uptime_seconds: 0.5,
            kicks: None,
            wait_ns: None,
            vcpus: vec![vcpu],
        }
    }

    fn pause(&self) -> Result<(), Refusal> {
        self.ask()
    }

    fn resume(&self) -> Result<(), Refusal> {
        self.ask()
    }

    fn stop(&self) -> Result<(), Refusal> {
        self.ask()
    }

    fn snapshot(&self, request: &SnapshotRequest) -> Result<SnapshotDone, Refusal> {
        must_be_absolute(&request.file);
        self.ask()?;
        Ok(SnapshotDone {
            file: request.file.clone(),
            file_bytes: 1,
            data_bytes: 1,
            seconds: 0.5,
            paused_ns: 1,
            hidden_kicks: 0,
        })
    }

    fn migrate(&self, request: &MigrateRequest) -> Result<MigrateDone, Refusal> {
        let files = [&request.tls_cert, &request.tls_key, &request.tls_ca];
        files
            .into_iter()
            .flatten()
            .for_each(|path| must_be_absolute(path));
        if let Some(path) = request.target.strip_prefix("unix:") {
            must_be_absolute(Path::new(path));
        }
        self.ask()?;
        Ok(MigrateDone {
            rounds: 1,
            bytes: 1,
            pages: 1,
            zero_pages: 0,
            seconds: 0.5,
            downtime_ns: 1,
            hidden_kicks: 0,
        })
    }
}

/// The codes of all answers, which have to be whole.
fn codes(mut answers: &str) -> Vec<u16> {
    let mut codes = Vec::new();
    while !answers.is_empty() {
        let (head, rest) = answers.split_once("\r\n\r\n").expect("a whole head");
        let code = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|code| code.get(..3));
        let code = code.and_then(|code| code.parse().ok()).expect("a code");
        codes.push(code);
        answers = rest;
        // 100 has no body, and neither has an answer to HEAD.
        if code == 100 || rest.is_empty() || rest.starts_with("HTTP/1.1 ") {
            continue;
        }
        let (_, length) = head.split_once("Content-Length: ").expect("a length");
        let length = length.lines().next().and_then(|length| length.parse().ok());
        let (body, rest) = rest.split_at(length.expect("a number"));
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body.get("error").is_some(), code >= 400);
        answers = rest;
    }
    codes
}

fuzz_target!(|data: &[u8]| {
    let bytes = &data[..data.len().min(BYTES_MAX)];
    let machine = Machine::default();
    let answers = fuzzing::answers(&machine, bytes).expect("sockets");
    let answers = String::from_utf8(answers).expect("UTF-8");
    let codes = codes(&answers);
    assert!(codes.iter().all(|code| CODES.contains(code)), "{codes:?}");
    // A request has a line and a Host header at the least.
    assert!(codes.len() <= 2 * (1 + bytes.len() / 14));
    let served = codes.iter().filter(|code| **code == 200).count();
    let refused = codes
        .iter()
        .filter(|code| [400, 409, 410, 500].contains(code));
    assert!(machine.asked.load(Relaxed) <= served + refused.count());
});
