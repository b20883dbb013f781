//! Exactly one side runs, always: connections that break and processes that die, at random bytes
//! and inside every frame of a migration.
//!
//! `VMM_FAULTS=N` makes N faults instead of [`FAULTS`], and `VMM_SEED=N` others.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use vmm::control::client::Error;
use vmm::control::{MigrateDone, MigrateRequest};
use vmm_tests::command::{Finished, Folder};
use vmm_tests::process::{Process, assert_only_one_runs};
use vmm_tests::proxy::{Act, At, Fault, Frame, Proxy, Way};

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

#[test]
fn a_connection_that_breaks_anywhere_leaves_one_machine() {
    let mut stage = Stage::new("cuts", 1);
    let machine = stage.machine();
    let (lengths, mut machine) = stage.lengths(machine);
    let mut happened = 0;
    while happened < faults() / 2 {
        let (way, at) = stage.random.place(lengths);
        // The source comes again with its COMMIT: over connections that break too.
        let again = (0..stage.random.below(4)).map(|_| {
            let way =
                [Way::ToTarget, Way::ToSource][usize::try_from(stage.random.below(2)).unwrap()];
            (way, 1 + stage.random.below(70))
        });
        let again: Vec<_> = again.collect();
        let place = format!("fault {happened} at {way:?} {at:?}, then {again:?}");
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let fault = Fault {
            way,
            at,
            act: Act::Cut,
        };
        let proxy = Proxy::start(&front, &back, Some(fault), again);
        let answer = machine.migrate(&request(&front));
        happened += u64::from(proxy.has_happened());
        if proxy.has_passed(Way::ToSource, Frame::Ready) {
            assert!(answer.is_ok(), "{place}: {answer:?}");
            assert_only_one_runs(&target, &machine);
            assert_moved(machine, &place);
            machine = target;
            stage.count(match proxy.connections() {
                1 => "moved over one connection",
                _ => "moved over several",
            });
        } else {
            assert!(has_kept(&answer), "{place}: {answer:?}");
            assert_only_one_runs(&machine, &target);
            stage.must_give_up(target, "holds nothing", &place);
            stage.count("stayed");
        }
    }
    stage.end(machine);
}

#[test]
fn a_source_that_dies_anywhere_leaves_one_machine_or_none() {
    let mut stage = Stage::new("dead-sources", 2);
    let machine = stage.machine();
    let (lengths, mut machine) = stage.lengths(machine);
    let mut happened = 0;
    while happened < faults() / 4 {
        let (way, at) = stage.random.place(lengths);
        let place = format!("fault {happened} at {way:?} {at:?}");
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let hand = machine.hand();
        let fault = Fault {
            way,
            at,
            act: Act::Call(Box::new(move || hand.kill())),
        };
        let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
        let answer = machine.migrate(&request(&front));
        proxy.wait_for_end(Way::ToTarget);
        let died = proxy.has_happened();
        happened += u64::from(died);
        if proxy.has_passed(Way::ToTarget, Frame::Commit) {
            target.progress();
            assert_only_one_runs(&target, &machine);
            if !died {
                assert!(answer.is_ok(), "{place}: {answer:?}");
                assert_moved(machine, &place);
            }
            machine = target;
            stage.count("runs at the target");
        } else {
            assert!(died && answer.is_err(), "{place}: {answer:?}");
            machine = stage.machine();
            assert_only_one_runs(&machine, &target);
            stage.must_give_up(target, "holds nothing", &place);
            stage.count("died with its source");
        }
    }
    stage.end(machine);
}

#[test]
fn a_target_that_dies_anywhere_leaves_one_machine_or_none() {
    let mut stage = Stage::new("dead-targets", 3);
    let machine = stage.machine();
    let (lengths, mut machine) = stage.lengths(machine);
    let mut happened = 0;
    while happened < faults() / 4 {
        let (way, at) = stage.random.place(lengths);
        let place = format!("fault {happened} at {way:?} {at:?}");
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let hand = target.hand();
        let fault = Fault {
            way,
            at,
            act: Act::Call(Box::new(move || hand.kill())),
        };
        let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
        // A source that has left tells a dead target so for a long time.
        let mut client = machine.client();
        let request = request(&front);
        let migration = thread::spawn(move || client.migrate(&request));
        proxy.wait_for_end(Way::ToSource);
        let died = proxy.has_happened();
        happened += u64::from(died);
        let left = proxy.has_passed(Way::ToSource, Frame::Ready);
        let ran = proxy.has_passed(Way::ToSource, Frame::Running);
        if !left {
            let answer = migration.join().unwrap();
            assert!(has_kept(&answer), "{place}: {answer:?}");
            machine.progress();
            stage.count("runs on at the source");
        } else if ran {
            let answer = migration.join().unwrap();
            assert!(answer.is_ok(), "{place}: {answer:?}");
            assert_moved(machine, &place);
            machine = if died { stage.machine() } else { target };
            stage.count(if died {
                "ran at the target and died there"
            } else {
                "runs at the target"
            });
        } else {
            assert!(died, "{place}");
            let new = stage.machine();
            assert_only_one_runs(&new, &machine);
            let source = std::mem::replace(&mut machine, new);
            stage.must_give_up(source, "the machine does not run here", &place);
            stage.count("committed to the dead");
        }
    }
    stage.end(machine);
}

#[test]
fn a_connection_that_goes_silent_anywhere_leaves_one_machine() {
    let mut stage = Stage::new("stalls", 5);
    let mut machine = stage.machine();
    for (way, frame) in FRAMES {
        let place = format!("silence at {way:?} {frame:?}");
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let fault = Fault {
            way,
            at: At::Into(frame, stage.random.next()),
            act: Act::Stall,
        };
        let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
        let request = MigrateRequest {
            peer_timeout_seconds: Some(2.0),
            ..request(&front)
        };
        let answer = machine.migrate(&request);
        assert!(proxy.has_happened(), "{place}");
        if answer.is_ok() {
            assert_only_one_runs(&target, &machine);
            assert_moved(machine, &place);
            machine = target;
            stage.count("moved");
        } else {
            assert!(has_kept(&answer), "{place}: {answer:?}");
            assert_only_one_runs(&machine, &target);
            stage.must_give_up(target, "holds nothing", &place);
            stage.count("stayed");
        }
    }
    stage.end(machine);
}

/// Frames at which the source can still be told to end, with their direction.
const BEFORE_COMMIT: [(Way, Frame); 4] = [
    (Way::ToSource, Frame::RoundDone),
    (Way::ToTarget, Frame::State),
    (Way::ToTarget, Frame::Digest),
    (Way::ToSource, Frame::Ready),
];

/// Does `act` to a source while `frame` is under way; nothing runs afterwards.
fn end_meanwhile(stage: &mut Stage, way: Way, frame: Frame, act: fn(&Process)) -> Finished {
    let place = format!("ended at {way:?} {frame:?}");
    let machine = stage.machine();
    let (target, back) = stage.target();
    let front = stage.path("proxy");
    let mut client = machine.client();
    let (ended, end) = mpsc::channel();
    let call = move || {
        act(&machine);
        let _ = ended.send(machine);
    };
    let fault = Fault {
        way,
        at: At::Into(frame, 0),
        act: Act::Call(Box::new(call)),
    };
    let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
    let answer = client.migrate(&request(&front));
    assert!(
        answer.is_err() && proxy.has_happened(),
        "{place}: {answer:?}"
    );
    let machine = end.recv().unwrap();
    let finished = machine.finish();
    drop(proxy);
    let nothing = target.finish();
    assert_eq!(nothing.code, 1, "{place}: {nothing}");
    assert!(
        nothing.stderr.contains("holds nothing"),
        "{place}: {nothing}"
    );
    finished
}

#[test]
fn a_machine_that_is_told_to_end_while_it_moves_ends() {
    let mut stage = Stage::new("ends", 6);
    for (way, frame) in BEFORE_COMMIT {
        let stop = |machine: &Process| machine.client().stop().unwrap();
        let stopped = end_meanwhile(&mut stage, way, frame, stop);
        assert_eq!(stopped.code, 0, "{frame:?}: {stopped}");
        assert!(stopped.stdout.contains("STOPPED"), "{frame:?}: {stopped}");

        let interrupt = |machine: &Process| {
            let threads = machine.threads();
            machine.signal("TERM");
            assert!(threads.end());
        };
        let interrupted = end_meanwhile(&mut stage, way, frame, interrupt);
        assert_eq!(interrupted.code, 1, "{frame:?}: {interrupted}");
    }
}

#[test]
fn a_machine_that_moves_is_not_paused() {
    let mut stage = Stage::new("pauses", 7);
    let machine = stage.machine();
    let (target, back) = stage.target();
    let front = stage.path("proxy");
    let mut client = machine.client();
    let (tell, told) = mpsc::channel();
    let fault = Fault {
        way: Way::ToSource,
        at: At::Into(Frame::RoundDone, 0),
        act: Act::Call(Box::new(move || drop(tell.send(client.pause())))),
    };
    let _proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
    machine.migrate(&request(&front)).unwrap();
    let paused = told.try_recv().unwrap();
    assert!(
        matches!(&paused, Err(Error::Refused { code: 409, .. })),
        "{paused:?}"
    );
    assert_only_one_runs(&target, &machine);
    stage.end(target);
}

#[test]
fn neither_side_runs_while_the_decision_is_under_way() {
    const LOOKS: u32 = 200;
    let mut stage = Stage::new("between", 4);
    let mut machine = stage.machine();
    for (way, frame) in FRAMES[DECISIVE].iter().copied() {
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let (at_source, at_target) = (machine.threads(), target.threads());
        let (tell, told) = mpsc::channel();
        let look = move || {
            let as_it_should = match frame {
                // It has left for good, and the target runs before it says so.
                Frame::Running => at_source.end(),
                Frame::Commit => at_target.stand_still(LOOKS) && at_source.end(),
                _ => at_target.stand_still(LOOKS) && at_source.stand_still(LOOKS),
            };
            let _ = tell.send(as_it_should);
        };
        let fault = Fault {
            way,
            at: At::Into(frame, 0),
            act: Act::Call(Box::new(look)),
        };
        let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
        machine.migrate(&request(&front)).unwrap();
        assert!(proxy.has_happened());
        assert!(told.try_recv().unwrap(), "{frame:?}");
        assert_only_one_runs(&target, &machine);
        assert_moved(machine, "no fault");
        machine = target;
    }
    stage.end(machine);
}
