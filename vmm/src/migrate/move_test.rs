//! Machines that move without anything breaking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use super::convergence::{Outlook, Why};
use super::digest::Verify;
use super::error::{Error, ReceiveError, SendError};
use super::fake::{Doing, FakeDestination, FakeOrigin, PAGES, Shared, Trouble, contents};
use super::fake_network::{Network, receiver};
use super::options::{Options, ReceiveOptions};
use super::phase::Phase;
use super::progress::{Progress, Received, Report};
use super::{endpoint::Endpoint, ends::Origin, source, target::Receiver};

struct Moved {
    source: Result<Report, SendError>,
    target: Result<Received, ReceiveError>,
    told: Vec<Progress>,
    shared: Shared,
}

fn move_over(
    network: &Network,
    origin: &mut FakeOrigin,
    destination: &mut FakeDestination,
    options: &Options,
) -> Moved {
    let (mut dial, accept) = network.ends();
    let mut receiver = receiver(accept, ReceiveOptions::default());
    let shared = origin.shared.clone();
    let mut told = Vec::new();
    let (source, target) = thread::scope(|scope| {
        let target = scope.spawn(|| receiver.receive(destination, &mut |_| ()));
        let source = source::migrate(origin, &mut dial, options, &mut |now| told.push(*now));
        (source, target.join().unwrap())
    });
    Moved {
        source,
        target,
        told,
        shared,
    }
}

fn move_it(trouble: Trouble, verify: Verify) -> Moved {
    let shared = Shared::new();
    let mut origin = FakeOrigin::new(&shared, vec![(0..10).map(|page| (page, 1)).collect()]);
    origin.trouble = trouble;
    let mut destination = FakeDestination::new(&shared);
    destination.trouble = trouble;
    let options = Options {
        verify,
        ..Options::default()
    };
    move_over(&Network::new(None), &mut origin, &mut destination, &options)
}

#[test]
fn the_phases_come_in_their_order() {
    let moved = move_it(Trouble::None, Verify::Whole);
    moved.source.unwrap();
    let mut phases: Vec<_> = moved.told.iter().map(|now| now.phase).collect();
    phases.dedup();
    assert!(phases.is_sorted(), "{phases:?}");
    for phase in [
        Phase::Hello,
        Phase::PreCopy { round: 1 },
        Phase::Pause,
        Phase::LastPages,
        Phase::State,
        Phase::Digest,
        Phase::Ready,
        Phase::Commit,
        Phase::Done,
    ] {
        assert!(phases.contains(&phase), "{phase}");
    }
}

#[test]
fn an_idle_guest_moves_after_one_round() {
    let moved = move_it(Trouble::None, Verify::Sent);
    let report = moved.source.unwrap();
    assert_eq!((report.rounds, report.why), (1, Why::Fits));
    assert_eq!(moved.target.unwrap().pages, report.pages);
}

#[test]
fn reading_all_memory_finds_the_page_that_the_log_missed() {
    let moved = move_it(Trouble::MissedPage, Verify::Whole);
    let error = moved.source.unwrap_err();
    assert!(error.runs_here());
    let SendError::RunsHere { phase, why, .. } = error else {
        unreachable!()
    };
    assert_eq!(phase, Phase::Digest);
    assert!(why.to_string().contains("page 0x3000"), "{why}");
    assert_eq!(moved.shared.lock().source, Doing::Runs);
    // The digest of what was sent cannot see it: that is why there are two.
    assert!(move_it(Trouble::MissedPage, Verify::Sent).source.is_ok());
}

#[test]
fn a_refusal_reaches_the_source_with_every_difference() {
    let moved = move_it(Trouble::Accept, Verify::Sent);
    let Err(SendError::RunsHere {
        why: Error::Refused(refusal),
        phase: Phase::Hello,
        ..
    }) = moved.source
    else {
        panic!("{:?}", moved.source)
    };
    assert_eq!(refusal.differences.len(), 2);
    assert!(refusal.to_string().contains("TSC at 2.1 GHz"));
    assert!(matches!(
        moved.target,
        Err(ReceiveError::HoldsNothing { .. })
    ));
}

#[test]
fn a_state_that_does_not_load_is_said_to_the_source() {
    let moved = move_it(Trouble::Load, Verify::Sent);
    let error = moved.source.unwrap_err();
    let text = crate::error_chain::in_one_line(&error);
    assert!(text.contains("MSR 0x1d9"), "{text}");
    assert!(error.runs_here());
}

#[test]
fn a_cancelled_migration_leaves_the_machine_here() {
    let shared = Shared::new();
    let mut origin = FakeOrigin::new(&shared, vec![vec![(0, 1)]]);
    let mut destination = FakeDestination::new(&shared);
    let options = Options {
        cancel: Arc::new(AtomicBool::new(true)),
        ..Options::default()
    };
    let moved = move_over(&Network::new(None), &mut origin, &mut destination, &options);
    assert!(matches!(
        moved.source,
        Err(SendError::RunsHere {
            why: Error::Cancelled,
            ..
        })
    ));
    let text = crate::error_chain::in_one_line(&moved.target.unwrap_err());
    assert!(text.contains("cancelled"), "{text}");
    assert_eq!(shared.lock().target, Doing::Nothing);
}

/// Pages change while they are read, sent and logged: no frame has a wrong checksum, and in the end
/// both sides are equal.
#[test]
fn a_guest_that_writes_all_the_time_arrives_whole() {
    let shared = Shared::new();
    let mut origin = FakeOrigin::new(&shared, Vec::new());
    let mut destination = FakeDestination::new(&shared);
    let guest = origin.guest();
    let pages: u64 = PAGES.iter().sum();
    let stop = AtomicBool::new(false);
    let paused = shared.clone();
    let moved = thread::scope(|scope| {
        scope.spawn(|| {
            let mut x = 1u64;
            while !stop.load(Relaxed) {
                // Held while writing: the pause takes effect between two writes.
                let ledger = paused.lock();
                if ledger.source == Doing::Runs {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let [fill, ..] = x.to_be_bytes();
                    guest((x >> 33) % pages, fill % 4);
                }
            }
        });
        let options = Options {
            limits: super::convergence::Limits {
                downtime: std::time::Duration::ZERO,
                max_rounds: 12,
            },
            verify: Verify::Whole,
            ..Options::default()
        };
        let moved = move_over(&Network::new(None), &mut origin, &mut destination, &options);
        stop.store(true, Relaxed);
        moved
    });
    let report = moved.source.unwrap();
    assert_eq!((report.rounds, report.why), (12, Why::MaxRounds));
    assert!(contents(origin.memory()) == contents(&destination.memory));
    assert!(matches!(
        moved.told.last().unwrap().outlook,
        Outlook::Converging | Outlook::NotConverging
    ));
}

#[test]
fn a_receiver_takes_another_machine_after_a_fault() {
    let folder = std::env::temp_dir().join(format!("vmm-move-again-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let endpoint = Endpoint::Unix(folder.join("socket"));
    let mut receiver = Receiver::listen(&endpoint, ReceiveOptions::default()).unwrap();
    let shared = Shared::new();
    thread::scope(|scope| {
        let target = scope.spawn(|| {
            let mut bad = FakeDestination::new(&Shared::new());
            bad.trouble = Trouble::Load;
            receiver.receive(&mut bad, &mut |_| ()).unwrap_err();
            let mut good = FakeDestination::new(&shared);
            receiver.receive(&mut good, &mut |_| ()).unwrap();
            receiver.answer(|| ())
        });
        let mut origin = FakeOrigin::new(&shared, vec![vec![(3, 3)]]);
        let options = Options::default();
        // Somebody who only looks whether anybody is there is no source.
        drop(std::os::unix::net::UnixStream::connect(folder.join("socket")).unwrap());
        let error = source::send(&mut origin, &endpoint, &options, &mut |_| ()).unwrap_err();
        assert!(error.runs_here());
        source::send(&mut origin, &endpoint, &options, &mut |_| ()).unwrap();
        let answering = target.join().unwrap();
        assert!(folder.join("socket").exists());
        drop(answering);
        assert!(!folder.join("socket").exists());
    });
    std::fs::remove_dir_all(&folder).unwrap();
}
