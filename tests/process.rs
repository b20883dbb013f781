//! A `vmm` that has a machine or waits for one, driven over its API socket.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vmm::control::client::{self, Client};
use vmm::control::{MigrateDone, MigrateRequest, PayloadState, PayloadStatus, State};

use crate::command::{Finished, Vmm, signal, wait};

/// Whoever makes no progress for so long has failed. Nothing that works comes near it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Locks that a machine takes before it counts as running. A handful could be left over from a
/// moment ago.
const PROGRESS: u64 = 200;
/// How often to look.
pub const LOOK: Duration = Duration::from_millis(1);

/// A process of `vmm` with an API socket. Killed with its value.
#[derive(Debug)]
pub struct Process {
    child: Hand,
    pid: u32,
    api: PathBuf,
    line: String,
    waits_at: String,
}

/// What can kill a process from another thread.
#[derive(Clone, Debug)]
pub struct Hand(Arc<Mutex<Option<Child>>>);

impl Hand {
    /// Kills it; it is dead when this returns.
    pub fn kill(&self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = &mut *child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Process {
    /// Starts `vmm` with its API at `api`, which it must serve once it has a machine.
    pub fn start(vmm: &Vmm, api: &Path) -> Self {
        let child = vmm.spawn();
        Self {
            pid: child.id(),
            child: Hand(Arc::new(Mutex::new(Some(child)))),
            api: api.to_owned(),
            line: vmm.line(),
            waits_at: String::new(),
        }
    }

    /// `vmm run` with `switches`, its API at `api`, and the words of `guest` for the payload.
    /// Returns when the payload has taken locks.
    pub fn run(api: &Path, switches: &str, guest: &str) -> Self {
        let run = Vmm::run(switches).words("--serial null --api").arg(api);
        let process = Self::start(&run.words("--").words(guest), api);
        process.progress();
        process
    }

    /// `vmm receive` at `listen`, its API at `api`. Returns when it listens.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn receive(listen: &str, switches: &str, api: &Path) -> Self {
        Self::receive_by(Vmm::new("receive"), listen, switches, api)
    }

    /// As [`Self::receive`], by a command that says no more than `receive`.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn receive_by(receive: Vmm, listen: &str, switches: &str, api: &Path) -> Self {
        let receive = receive.arg(listen).words(switches);
        let receive = receive.words("--serial null --api").arg(api);
        let mut process = Self::start(&receive, api);
        let mut guard = process.child.0.lock().unwrap();
        let said = first_line(guard.as_mut().unwrap());
        drop(guard);
        let at = said.strip_prefix("vmm: waiting for a machine on ");
        let Some(at) = at.map(str::to_owned) else {
            panic!("`{said}`, not waiting: {}", process.finish());
        };
        process.waits_at = at;
        process
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where it listens for a machine.
    pub fn waits_at(&self) -> &str {
        &self.waits_at
    }

    /// What can kill it.
    pub fn hand(&self) -> Hand {
        self.child.clone()
    }

    /// Sends it a signal, as in `TERM`.
    pub fn signal(&self, name: &str) {
        assert!(signal(name, self.pid), "{name}: {}", self.line);
    }

    /// A connection to its API, which it has from its start.
    ///
    /// # Panics
    /// When it does not come.
    pub fn client(&self) -> Client {
        let limit = Instant::now() + PATIENCE;
        loop {
            match Client::connect(&self.api) {
                Ok(client) => return client,
                // Not bound yet, or bound and not listening yet.
                Err(client::Error::NoSocket(_) | client::Error::NobodyListens(_))
                    if Instant::now() < limit && !self.has_ended() =>
                {
                    thread::sleep(LOOK);
                }
                Err(error) => panic!("{error}\n{}", self.says()),
            }
        }
    }

    /// Waits until `file` has `text` in it.
    ///
    /// # Panics
    /// When it ends before.
    pub fn wait_for_text(&self, file: &Path, text: &str) {
        while !std::fs::read_to_string(file).is_ok_and(|said| said.contains(text)) {
            assert!(!self.has_ended(), "it ended before `{text}`: {}", self.line);
            thread::sleep(LOOK);
        }
    }

    /// Moves its machine; returns when that is done or has failed.
    ///
    /// # Errors
    /// What the API answers.
    pub fn migrate(&self, request: &MigrateRequest) -> Result<MigrateDone, client::Error> {
        self.client().migrate(request)
    }

    /// Waits until its guest has made progress, and looks that nothing is broken. What the guest
    /// says then.
    ///
    /// # Panics
    /// When it makes none or a check has failed.
    pub fn progress(&self) -> PayloadStatus {
        let limit = Instant::now() + PATIENCE;
        let mut client = self.client();
        let mut first = None;
        loop {
            let status = client
                .status()
                .unwrap_or_else(|error| panic!("{error}\n{}", self.says()));
            let payload = status.payload.clone().expect("the bundled payload runs");
            self.assert_clean(&payload);
            if payload.state == PayloadState::Running {
                let first = *first.get_or_insert(payload.acquisitions);
                if payload.acquisitions >= first + PROGRESS {
                    assert_ne!(status.state, State::Ended, "{}", self.line);
                    return payload;
                }
            }
            assert!(
                Instant::now() < limit,
                "no progress: {status:?}\n{}",
                self.says()
            );
            thread::sleep(LOOK);
        }
    }

    /// Every promise held so far.
    ///
    /// # Panics
    /// When one did not.
    pub fn assert_clean(&self, payload: &PayloadStatus) {
        let broken = [
            payload.violations,
            payload.io_duplicated,
            payload.io_lost,
            payload.tsc_backwards,
            payload.kvmclock_backwards,
        ];
        assert_eq!(broken, [0; 5], "{payload:?}\n{}", self.says());
    }

    /// Its threads.
    pub fn threads(&self) -> Threads {
        Threads(self.pid)
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut child = self.child.0.lock().unwrap_or_else(PoisonError::into_inner);
        let child = child.as_mut().expect("it was not waited for");
        child.try_wait().expect("it can be asked").is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When that does not come by itself.
    pub fn finish(self) -> Finished {
        let child = self.child.0.lock().unwrap().take();
        wait(child.expect("it was not waited for"), self.line.clone())
    }

    /// Ends its machine, in which nothing may have failed.
    ///
    /// # Panics
    /// When something has.
    pub fn stop(self) -> Finished {
        self.progress();
        self.client().stop().unwrap();
        let finished = self.finish();
        assert_eq!(finished.code, 0, "{finished}");
        assert!(finished.stdout.contains("STOPPED"), "{finished}");
        finished
    }

    /// For messages: kills it and says what it said.
    fn says(&self) -> String {
        let child = self.child.0.lock().unwrap().take();
        let Some(mut child) = child else {
            return self.line.clone();
        };
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let status = output.status;
        format!("`{}`: {status}\n{stdout}\n{stderr}", self.line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill();
    }
}

/// The threads of a process.
#[derive(Clone, Copy, Debug)]
pub struct Threads(u32);

impl Threads {
    /// CPU time of its vCPU threads in ns; `None` once there are none, and then there never will
    /// be any again: they are started with the machine.
    pub fn vcpu_ns(self) -> Option<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).ok()?;
        let mut sum = None;
        for task in tasks.flatten() {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            if read("comm").starts_with("vcpu") {
                let ns: Option<u64> = read("schedstat")
                    .split(' ')
                    .next()
                    .and_then(|ns| ns.parse().ok());
                sum = ns.map(|ns| sum.unwrap_or(0) + ns).or(sum);
            }
        }
        sum
    }
}

impl Threads {
    /// Whether no vCPU has run for `looks` looks at them, waiting for that if need be: they may be
    /// on their way to where they stand still.
    pub fn stand_still(self, looks: u32) -> bool {
        let limit = Instant::now() + PATIENCE;
        let mut still = 0;
        let mut before = self.vcpu_ns();
        while still < looks && Instant::now() < limit {
            let now = self.vcpu_ns();
            still = if now == before { still + 1 } else { 0 };
            before = now;
        }
        still == looks
    }

    /// Whether there are no vCPUs any more, waiting for that if need be.
    pub fn end(self) -> bool {
        let limit = Instant::now() + PATIENCE;
        while self.vcpu_ns().is_some() && Instant::now() < limit {
            thread::sleep(LOOK);
        }
        self.vcpu_ns().is_none()
    }
}

/// The first line of standard error; what follows is left where it is.
fn first_line(child: &mut Child) -> String {
    let stderr = child.stderr.as_mut().expect("it is captured");
    let mut line = Vec::new();
    let mut byte = [0];
    while stderr.read(&mut byte).expect("a pipe") == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).into_owned()
}

/// Waits until `winner` has made progress while no vCPU of `other` has run.
///
/// # Panics
/// When both run, or `winner` does not.
pub fn assert_only_one_runs(winner: &Process, other: &Process) {
    /// A thread that wants to run and gets no CPU looks as if it stood still, for a while.
    const LOOKS: u32 = 3;
    let limit = Instant::now() + PATIENCE;
    let mut before = other.threads().vcpu_ns();
    let mut unchanged = 0;
    loop {
        winner.progress();
        // Its threads may have been on their way to where they stand still, or to their end.
        let after = other.threads().vcpu_ns();
        unchanged = if after == before { unchanged + 1 } else { 0 };
        if after.is_none() || unchanged == LOOKS {
            return;
        }
        assert!(
            Instant::now() < limit,
            "BOTH RUN\n{}\n{}",
            winner.says(),
            other.says()
        );
        before = after;
    }
}
