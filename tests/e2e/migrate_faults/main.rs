//! Exactly one side runs, always: connections that break and processes that die, at random bytes
//! and inside every frame of a migration.
//!
//! `VMM_FAULTS=N` makes N faults instead of [`FAULTS`], and `VMM_SEED=N` others.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod breaks;
mod deaths;
mod meanwhile;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use vmm::control::client::Error;
use vmm::control::{MigrateDone, MigrateRequest};
use vmm_tests::command::Folder;
use vmm_tests::process::{Process, assert_only_one_runs};
use vmm_tests::proxy::{At, Frame, Proxy, Way};

/// Faults of all tests here together, unless told otherwise.
const FAULTS: u64 = 120;

/// Small, and hardly ever without somebody who waits for a lock.
const MACHINE: &str = "--vcpus 2 --memory 16M --kick vmm";

const GUEST: &str = "ring=3 seconds=86400 io=8 clocks=on threshold=1 think=0 hold=100";

/// With each halt: a window in which kicks come between the last look at the lock and the halt.
const HALTS: [(&str, &str); 2] = [("kvm", "window=100"), ("vmm", "window=1000")];

/// Frames that may break or be followed by a death, with their direction.
const FRAMES: [(Way, Frame); 10] = [
    (Way::ToTarget, Frame::Machine),
    (Way::ToSource, Frame::Accepted),
    (Way::ToTarget, Frame::Pages),
    (Way::ToSource, Frame::RoundDone),
    (Way::ToTarget, Frame::State),
    (Way::ToTarget, Frame::Digest),
    (Way::ToSource, Frame::Ready),
    (Way::ToTarget, Frame::Commit),
    (Way::ToSource, Frame::Running),
    (Way::ToTarget, Frame::Round),
];

/// Those around which it is decided who has the machine.
const DECISIVE: std::ops::Range<usize> = 4..9;

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn new(test: u64) -> Self {
        Self(number("VMM_SEED").unwrap_or(1).wrapping_mul(1000) + test)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A place for a fault; `lengths` are the bytes of a whole migration in each direction.
    fn place(&mut self, lengths: [u64; 2]) -> (Way, At) {
        let decisive = (DECISIVE.end - DECISIVE.start) as u64;
        match self.below(8) {
            0 | 1 => (Way::ToTarget, At::Byte(self.below(lengths[0]))),
            2 => (Way::ToSource, At::Byte(self.below(lengths[1]))),
            3 | 4 => {
                let (way, frame) = self.frame(0, FRAMES.len() as u64);
                (way, At::Into(frame, self.next()))
            }
            _ => {
                let (way, frame) = self.frame(DECISIVE.start, decisive);
                (way, At::Into(frame, self.next()))
            }
        }
    }

    fn frame(&mut self, first: usize, count: u64) -> (Way, Frame) {
        let at = first + usize::try_from(self.below(count)).unwrap();
        FRAMES[at]
    }
}

/// Machines come and go, and leave processes that still have something to say.
struct Stage {
    folder: Folder,
    random: Random,
    name: &'static str,
    started: u64,
    /// Who has to find out by himself that he has nothing, and what he says then.
    waiting: Vec<(Process, &'static str, String)>,
    counts: BTreeMap<String, u64>,
}

impl Stage {
    fn new(name: &'static str, seed: u64) -> Self {
        Self {
            folder: Folder::new(name),
            random: Random::new(seed),
            name,
            started: 0,
            waiting: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    fn path(&mut self, name: &str) -> PathBuf {
        self.started += 1;
        self.folder.path(&format!("{name}{}", self.started))
    }

    fn machine(&mut self) -> Process {
        let (halt, window) = HALTS[usize::try_from(self.random.below(2)).unwrap()];
        let switches = format!("{MACHINE} --halt {halt}");
        Process::run(&self.path("api"), &switches, &format!("{GUEST} {window}"))
    }

    /// One that waits for a machine, and where.
    fn target(&mut self) -> (Process, PathBuf) {
        let (listen, api) = (self.path("target"), self.path("api"));
        let unix = format!("unix:{}", listen.display());
        (Process::receive(&unix, "--peer-timeout 5", &api), listen)
    }

    /// Bytes of a migration without a fault in each direction, and the machine after it.
    fn lengths(&mut self, source: Process) -> ([u64; 2], Process) {
        let (target, back) = self.target();
        let front = self.path("proxy");
        let proxy = Proxy::start(&front, &back, None, Vec::new());
        source.migrate(&request(&front)).unwrap();
        assert_only_one_runs(&target, &source);
        let lengths = [Way::ToTarget, Way::ToSource].map(|way| proxy.bytes(way));
        (lengths, target)
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// `process` must end with exit code 1 and say `words`, now or when its time is over.
    fn must_give_up(&mut self, process: Process, words: &'static str, place: &str) {
        self.waiting.push((process, words, place.to_owned()));
        let ended = |(process, _, _): &mut (Process, _, _)| process.has_ended();
        let ended: Vec<_> = self.waiting.extract_if(.., ended).collect();
        ended.into_iter().for_each(gave_up);
    }

    /// The last machine has kept every promise, and nobody else has one.
    fn end(self, machine: Process) {
        machine.stop();
        self.waiting.into_iter().for_each(gave_up);
        eprintln!("{}: {:?}", self.name, self.counts);
    }
}

fn gave_up((process, words, place): (Process, &'static str, String)) {
    let finished = process.finish();
    assert_eq!(finished.code, 1, "{place}: {finished}");
    assert!(finished.stderr.contains(words), "{place}: {finished}");
}

fn request(target: &Path) -> MigrateRequest {
    MigrateRequest {
        peer_timeout_seconds: Some(5.0),
        ..MigrateRequest::new(format!("unix:{}", target.display()))
    }
}

/// The source says that it has kept its machine.
fn has_kept(answer: &Result<MigrateDone, Error>) -> bool {
    match answer {
        Err(Error::Refused { code, message, .. }) => {
            *code == 500 && message.contains("runs on here")
        }
        _ => false,
    }
}

/// The source has ended as one does whose machine has moved.
fn assert_moved(source: Process, place: &str) {
    let finished = source.finish();
    assert_eq!(finished.code, 0, "{place}: {finished}");
    assert!(finished.stdout.contains("MIGRATED"), "{place}: {finished}");
}

fn faults() -> u64 {
    number("VMM_FAULTS").unwrap_or(FAULTS)
}
