//! Live migration, as a user does it: between processes, with every kick and halt, over every kind
//! of connection, and to targets that are not what they should be.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod doors;
mod hosts;
mod moves;
mod receiver;

use vmm::control::client::Error;
use vmm::control::{MigrateDone, MigrateRequest, Verify};
use vmm_tests::command::{Finished, Folder};
use vmm_tests::process::{Process, assert_only_one_runs};

const SMALL: &str = "--vcpus 2 --memory 16M --kick vmm --halt kvm";

/// Locks that somebody waits for nearly always, and everything that the guest can watch.
const GUEST: &str = "ring=3 seconds=86400 io=8 clocks=on threshold=1 think=0 hold=100 window=100";

/// Two processes of one test.
struct Pair {
    folder: Folder,
}

impl Pair {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        Self { folder }
    }

    fn source(&self, switches: &str, guest: &str) -> Process {
        Process::run(&self.folder.path("source"), switches, guest)
    }

    fn small(&self) -> Process {
        self.source(SMALL, GUEST)
    }

    fn unix(&self, name: &str) -> String {
        format!("unix:{}", self.folder.path(name).display())
    }

    fn target(&self, switches: &str) -> Process {
        Process::receive(&self.unix("to"), switches, &self.folder.path("target"))
    }
}

fn whole(target: &str) -> MigrateRequest {
    MigrateRequest {
        verify: Verify::Whole,
        ..MigrateRequest::new(target)
    }
}

/// The machine has moved: it makes progress at the target, and the source has ended well.
fn assert_moved(source: Process, target: &Process) {
    assert_only_one_runs(target, &source);
    let finished = source.finish();
    assert_eq!(finished.code, 0, "{finished}");
    assert!(finished.stdout.contains("MIGRATED"), "{finished}");
}

/// What a migration was refused with.
#[track_caller]
fn refused(answer: Result<MigrateDone, Error>) -> (u16, String, Vec<String>) {
    match answer {
        Err(Error::Refused {
            code,
            message,
            details,
        }) => (code, message, details),
        other => panic!("not refused: {other:?}"),
    }
}

/// It failed, and the machine runs on.
#[track_caller]
fn assert_stays(answer: Result<MigrateDone, Error>, source: &Process, words: &str) {
    let (code, message, _) = refused(answer);
    assert_eq!(code, 500, "{message}");
    assert!(message.contains("runs on here"), "{message}");
    assert!(message.contains(words), "{message}");
    source.progress();
}

/// A receiver that got nothing.
#[track_caller]
fn assert_empty(finished: &Finished, words: &str) {
    assert_eq!(finished.code, 1, "{finished}");
    assert!(finished.stderr.contains("holds nothing"), "{finished}");
    assert!(finished.stderr.contains(words), "{finished}");
}
