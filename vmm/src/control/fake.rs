//! A machine that is none, for tests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use std::{process, thread};

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;
use vmm_tests::command::Folder;

use super::*;
use crate::host::Kind;
use crate::os::socket_file::SocketFile;
use crate::pv::{HaltIn, KickBy};
use crate::report::percentile::WaitNs;
use crate::report::run::Kicks;

/// Limits that no test reaches.
pub(super) const PATIENT: Limits = Limits {
    idle: Duration::from_secs(3600),
    request: Duration::from_secs(3600),
    answer: Duration::from_secs(3600),
};

/// Says what it is told to say and remembers what it was asked.
#[derive(Debug, Default)]
pub(super) struct Fake {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    refusal: Option<Refusal>,
    held: bool,
    waiting: usize,
    asked: Vec<&'static str>,
    snapshot: Option<SnapshotRequest>,
    migrate: Option<MigrateRequest>,
}

impl Fake {
    /// Every operation is refused like this; `None` for none.
    pub(super) fn refuse(&self, refusal: Option<Refusal>) {
        self.inner.lock().unwrap().refusal = refusal;
    }

    /// A snapshot takes until [`Self::let_go`].
    pub(super) fn hold(&self) {
        self.inner.lock().unwrap().held = true;
    }

    pub(super) fn let_go(&self) {
        self.inner.lock().unwrap().held = false;
        self.changed.notify_all();
    }

    /// Waits until this many snapshots are held.
    pub(super) fn wait_for_held(&self, count: usize) {
        let inner = self.inner.lock().unwrap();
        let waits = |inner: &mut Inner| inner.waiting < count;
        drop(self.changed.wait_while(inner, waits).unwrap());
    }

    /// What was asked for since the last call, `status` aside.
    pub(super) fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.inner.lock().unwrap().asked)
    }

    pub(super) fn last_snapshot(&self) -> Option<SnapshotRequest> {
        self.inner.lock().unwrap().snapshot.take()
    }

    pub(super) fn last_migrate(&self) -> Option<MigrateRequest> {
        self.inner.lock().unwrap().migrate.take()
    }

    fn ask(&self, what: &'static str) -> Result<(), Refusal> {
        let mut inner = self.inner.lock().unwrap();
        inner.asked.push(what);
        inner.refusal.clone().map_or(Ok(()), Err)
    }
}

/// Has a value in every field.
pub(super) fn status() -> Status {
    Status {
        state: State::Migrating,
        version: "0.1.0".to_owned(),
        guest: "bundled".to_owned(),
        vcpus: 4,
        kick: KickBy::Vmm,
        halt: HaltIn::Kvm,
        memory_bytes: 128 << 20,
        host_kind: Kind::Pvm,
        uptime_seconds: 12.25,
        kicks_repaired: 0,
        payload: Some(PayloadStatus {
            state: PayloadState::Running,
            acquisitions: u64::MAX,
            halts: 20_000,
            kicks_sent: 19_000,
            violations: 0,
            tsc_backwards: 0,
            kvmclock_backwards: 1,
            io_duplicated: 0,
            io_lost: 0,
        }),
        operation: Some(Operation {
            kind: OperationKind::Migrate,
            phase: "pre-copy".to_owned(),
            round: Some(3),
            bytes_done: 300 << 20,
            bytes_total: 400 << 20,
            rate_bytes_per_second: 850_000_000,
            dirty_bytes_per_second: Some(12_000_000),
            expected_downtime_ns: Some(43_100_000),
        }),
    }
}

/// Has a value in every field, and null in every field that may have it.
pub(super) fn stats() -> Stats {
    let vcpu = VcpuStats {
        apic_id: 0,
        state: Some(VcpuState::Halted),
        exits: 12,
        exits_by_reason: [("hlt".to_owned(), 12)].into(),
        kvm_exits: Some(20),
        halts: 12,
        kicks_sent: Some(3),
        kicks_received: Some(4),
        acquisitions: Some(u64::MAX),
    };
    let silent = VcpuStats {
        apic_id: 1,
        state: None,
        exits: 0,
        exits_by_reason: BTreeMap::new(),
        kvm_exits: None,
        halts: 0,
        kicks_sent: None,
        kicks_received: None,
        acquisitions: None,
    };
    Stats {
        state: State::Running,
        uptime_seconds: 12.25,
        kicks: Some(Kicks::default()),
        wait_ns: Some(WaitNs {
            p50: 1,
            p99: 2,
            p999: 3,
            max: 4,
        }),
        vcpus: vec![vcpu, silent],
    }
}

impl Operations for Fake {
    fn status(&self) -> Status {
        status()
    }

    fn stats(&self) -> Stats {
        stats()
    }

    fn pause(&self) -> Result<(), Refusal> {
        self.ask("pause")
    }

    fn resume(&self) -> Result<(), Refusal> {
        self.ask("resume")
    }

    fn stop(&self) -> Result<(), Refusal> {
        self.ask("stop")
    }

    fn snapshot(&self, request: &SnapshotRequest) -> Result<SnapshotDone, Refusal> {
        self.ask("snapshot")?;
        let mut inner = self.inner.lock().unwrap();
        inner.snapshot = Some(request.clone());
        inner.waiting += 1;
        self.changed.notify_all();
        let mut inner = self.changed.wait_while(inner, |inner| inner.held).unwrap();
        inner.waiting -= 1;
        Ok(SnapshotDone {
            file: request.file.clone(),
            file_bytes: 128 << 20,
            data_bytes: 5 << 20,
            seconds: 0.5,
            paused_ns: 400_000_000,
            hidden_kicks: 1,
        })
    }

    fn migrate(&self, request: &MigrateRequest) -> Result<MigrateDone, Refusal> {
        self.ask("migrate")?;
        self.inner.lock().unwrap().migrate = Some(request.clone());
        Ok(MigrateDone {
            rounds: 3,
            bytes: 400 << 20,
            pages: 102_400,
            zero_pages: 50_000,
            seconds: 1.5,
            downtime_ns: 43_000_000,
            hidden_kicks: 2,
        })
    }
}

/// A folder of its own for every call.
pub(crate) fn folder() -> Folder {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Folder::new(&format!("api-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Serves `fake` from a loop as a machine has one, while `test` runs with the socket's path.
pub(super) fn serving<R>(fake: &Fake, limits: Limits, test: impl FnOnce(&Path) -> R) -> R {
    let folder = folder();
    let path = folder.path("api");
    let listener = SocketFile::bind(&path).unwrap();
    let end = End(EventFd::new(0).unwrap());
    thread::scope(|scope| {
        let ended = end.0.try_clone().unwrap();
        scope.spawn(move || main_loop(listener, fake, limits, &ended));
        // Dropped when the test panics too.
        let _end = end;
        test(&path)
    })
}

struct End(EventFd);

impl Drop for End {
    fn drop(&mut self) {
        self.0.write(1).unwrap();
    }
}

fn main_loop(listener: SocketFile, fake: &Fake, limits: Limits, end: &EventFd) {
    let epoll = Epoll::new().unwrap();
    for (data, fd) in [listener.as_raw_fd(), end.as_raw_fd()]
        .into_iter()
        .enumerate()
    {
        let event = EpollEvent::new(EventSet::IN, data as u64);
        epoll.ctl(ControlOperation::Add, fd, event).unwrap();
    }
    thread::scope(|scope| {
        let server = Server::with_limits(listener, fake, limits);
        let mut events = [EpollEvent::default(); 2];
        loop {
            let ready = epoll.wait(-1, &mut events).unwrap_or(0);
            if events[..ready].iter().any(|event| event.data() == 1) {
                break;
            }
            server.accept(scope);
        }
        server.close();
    });
}

/// Ends the test process where `test` waits for what never comes.
pub(super) fn in_time(test: impl FnOnce()) {
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let patience = Duration::from_secs(100);
            if is_done.recv_timeout(patience) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("still waiting");
                process::abort();
            }
        });
        test();
        drop(done);
    });
}

/// Sends `request`, whose end is the end of what is sent, and gives all answers.
pub(super) fn talk(path: &Path, request: impl AsRef<[u8]>) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    // Refused before its end, the rest of it meets a closed connection.
    let _ = stream.write_all(request.as_ref());
    let _ = stream.shutdown(Shutdown::Write);
    rest(&mut stream)
}

/// All that comes until the server ends the connection.
pub(super) fn rest(stream: &mut UnixStream) -> String {
    let mut answers = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(read) if read > 0 => answers.extend_from_slice(&chunk[..read]),
            // The server left something unread.
            Ok(_) | Err(_) => return String::from_utf8(answers).unwrap(),
        }
    }
}

/// One answer's status code, head and JSON.
pub(super) fn parts(answer: &str) -> (u16, &str, serde_json::Value) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    let code = head.strip_prefix("HTTP/1.1 ").expect("HTTP")[..3].parse();
    (
        code.unwrap(),
        head,
        serde_json::from_str(body).expect("JSON"),
    )
}

/// The status codes of all answers in a row, which have to be whole.
pub(super) fn codes(mut answers: &str) -> Vec<u16> {
    let mut codes = Vec::new();
    while !answers.is_empty() {
        let (head, _) = answers.split_once("\r\n\r\n").expect("a whole head");
        let (_, length) = head.split_once("Content-Length: ").expect("a length");
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        let end = head.len() + 4 + length;
        codes.push(parts(&answers[..end]).0);
        answers = &answers[end..];
    }
    codes
}
