//! After any fault exactly one side runs, or the target says that it holds nothing.

mod killed;

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::convergence::Limits;
use super::ends::Origin;
use super::error::{ReceiveError, SendError};
use super::fake::{Doing, FakeDestination, FakeOrigin, STATE, Shared, Trouble, contents, memory};
use super::fake_network::{Fault, Network, Plan, Way, receiver};
use super::frame::HEADER_BYTES;
use super::options::{Options, ReceiveOptions};
use super::phase::Phase;
use super::progress::{Progress, Received, Report};
use super::source;

/// For faults that only silence shows.
const SILENCE: Duration = Duration::from_millis(150);

/// For all that must not end by a time limit on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the target holds a machine that nobody commits.
const HOLD: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Outcome {
    source: Result<Report, SendError>,
    target: Result<Received, ReceiveError>,
    shared: Shared,
    origin_contents: Vec<u8>,
    target_contents: Vec<u8>,
    state: Vec<u8>,
    network: Network,
}

/// What a guest writes: some pages more than once, zeros over data, both regions.
fn writes() -> Vec<Vec<(u64, u8)>> {
    vec![
        (0..20)
            .chain(150..153)
            .chain(210..220)
            .map(|page| (page, 1))
            .collect(),
        vec![(0, 2), (1, 0), (7, 2), (259, 2)],
        vec![(0, 3), (8, 0), (7, 0), (150, 3)],
        vec![(0, 4), (10, 4)],
    ]
}

/// Who waits how long.
#[derive(Clone, Copy)]
struct Patience {
    peer: Duration,
    commit: Duration,
    hold: Duration,
}

const PATIENT: Patience = Patience {
    peer: PATIENCE,
    commit: HOLD,
    hold: HOLD,
};

fn options(patience: Patience) -> Options {
    Options {
        // A rest never fits no time at all: always three rounds, so always the same bytes.
        limits: Limits {
            downtime: Duration::ZERO,
            max_rounds: 3,
        },
        peer_timeout: patience.peer,
        commit_timeout: patience.commit,
        ..Options::default()
    }
}

/// Moves a machine over `network`; the callbacks see the phases of each side.
fn trial(
    network: &Network,
    patience: Patience,
    trouble: Trouble,
    mut at_source: impl FnMut(Phase, &Shared),
    at_target: impl Fn(Phase, &Shared) + Send,
) -> Outcome {
    let shared = Shared::new();
    let mut origin = FakeOrigin::new(&shared, writes());
    origin.trouble = trouble;
    let (mut dial, accept) = network.ends();
    let mut destination = FakeDestination::new(&shared);
    destination.trouble = trouble;
    let options = options(patience);
    let mut receiver = receiver(
        accept,
        ReceiveOptions {
            peer_timeout: patience.peer,
            commit_timeout: patience.hold,
            ..ReceiveOptions::default()
        },
    );
    let (source, target) = thread::scope(|scope| {
        let cancel = receiver.cancel();
        let shared = &shared;
        let target = scope.spawn({
            let destination = &mut destination;
            move || {
                let mut tell = |progress: &Progress| at_target(progress.phase, shared);
                let result = receiver.receive(destination, &mut tell);
                // Kept until the source is done: it may have to ask again.
                (result, receiver.answer(|| ()))
            }
        });
        let mut tell = |progress: &Progress| at_source(progress.phase, shared);
        let source = source::migrate(&mut origin, &mut dial, &options, &mut tell);
        // A target that nobody has reached waits for ever otherwise.
        cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        let (target, _answering) = target.join().unwrap();
        (source, target)
    });
    Outcome {
        source,
        target,
        origin_contents: contents(origin.memory()),
        target_contents: contents(&destination.memory),
        state: destination.state,
        shared,
        network: network.clone(),
    }
}

fn plain(network: &Network, peer: Duration) -> Outcome {
    let patience = Patience { peer, ..PATIENT };
    trial(network, patience, Trouble::None, |_, _| (), |_, _| ())
}

impl Outcome {
    /// Exactly one side runs, both say so, and what runs has the right memory.
    fn check(&self, what: &dyn std::fmt::Debug) {
        let ledger = self.shared.lock();
        let context = || format!("{what:?}: {:?} {:?} {ledger:?}", self.source, self.target);
        assert!(!ledger.both_ran, "both ran: {}", context());
        match &self.source {
            Ok(_) => {
                assert_eq!(ledger.source, Doing::Left, "{}", context());
                assert_eq!(ledger.target, Doing::Runs, "{}", context());
                assert!(self.target.is_ok(), "{}", context());
                assert_eq!(self.state, STATE);
                assert!(
                    self.origin_contents == self.target_contents,
                    "{}",
                    context()
                );
            }
            Err(SendError::RunsHere { .. }) => {
                assert_eq!(ledger.source, Doing::Runs, "{}", context());
                assert_eq!(ledger.target, Doing::Nothing, "{}", context());
                assert!(self.target.is_err(), "{}", context());
                assert!(!ledger.logging, "the log goes on: {}", context());
            }
            Err(_) => panic!("nobody runs: {}", context()),
        }
    }
}

/// Ends of the frames in a stream, before its first byte too.
fn borders(stream: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let mut borders = vec![0];
    while at + HEADER_BYTES <= stream.len() {
        let length: [u8; 4] = stream[at + 4..at + 8].try_into().unwrap();
        at += HEADER_BYTES + usize::try_from(u32::from_le_bytes(length)).unwrap();
        borders.push(at);
    }
    assert_eq!(at, stream.len());
    borders
}

/// Every border of a frame, a byte before, a byte after, and `random` places in between.
fn places(stream: &[u8], random: usize) -> Vec<usize> {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut places: Vec<_> = borders(stream)
        .into_iter()
        .flat_map(|border| [border.saturating_sub(1), border, border + 1])
        .chain((0..random).map(|_| usize::try_from(rng.next_u64()).unwrap() % stream.len()))
        .filter(|place| *place < stream.len())
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// Every fault of a kind, at every place, some at a time.
fn every_fault(fault: Fault, random: usize, peer_timeout: Duration) -> Vec<(Plan, Outcome)> {
    let clean = plain(&Network::new(None), PATIENCE);
    clean.check(&"no fault");
    let seen = clean.network.seen();
    let plans: Vec<_> = [Way::ToTarget, Way::ToSource]
        .into_iter()
        .flat_map(|way| {
            let places = places(&seen[way as usize], random);
            places.into_iter().map(move |after| Plan {
                fault,
                way,
                after,
                connections: 1,
            })
        })
        .collect();
    let (plans, outcomes) = (Mutex::new(plans), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let Some(plan) = plans.lock().unwrap().pop() else {
                        break;
                    };
                    let outcome = plain(&Network::new(Some(plan)), peer_timeout);
                    outcome.check(&plan);
                    outcomes.lock().unwrap().push((plan, outcome));
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

#[test]
fn a_machine_moves_in_three_rounds_and_the_rest() {
    let outcome = plain(&Network::new(None), PATIENCE);
    outcome.check(&"no fault");
    let report = outcome.source.unwrap();
    assert_eq!(report.rounds, 3);
    // 33 in use; 4, 4, 2 written; with the last: what the save wrote.
    assert_eq!((report.pages, report.last_pages), (33 + 4 + 4 + 3, 3));
    // What is sent is what is there by then: page 1 in rounds 1 and 2, 7 in 2 and 3, 8 in 3.
    assert_eq!(report.zero_pages, 5);
    assert_eq!(outcome.network.connections(), 1);
    assert!(report.downtime_ns > 0);
    assert!(outcome.target_contents != contents(&memory()));
}

#[test]
fn a_connection_that_is_cut_anywhere_leaves_one_side_running() {
    let outcomes = every_fault(Fault::Cut, 60, PATIENCE);
    assert!(outcomes.len() > 150, "{}", outcomes.len());
    let moved = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.source.is_ok())
        .count();
    // Cuts after READY had arrived: the COMMIT came over a second connection.
    assert!(moved > 3, "{moved}");
    assert!(moved < outcomes.len());
    for (plan, outcome) in &outcomes {
        let repeated = outcome.network.connections() > 1;
        assert_eq!(outcome.source.is_ok(), repeated, "{plan:?}");
    }
}

#[test]
fn a_connection_that_falls_silent_anywhere_leaves_one_side_running() {
    let outcomes = every_fault(Fault::Stall, 10, SILENCE);
    assert!(outcomes.iter().any(|(_, outcome)| outcome.source.is_ok()));
}

#[test]
fn one_wrong_bit_anywhere_is_noticed() {
    let outcomes = every_fault(Fault::Flip, 60, SILENCE);
    for (plan, outcome) in outcomes {
        // Every bit is under a checksum: it is never swallowed.
        let unnoticed = outcome.source.is_ok() && outcome.network.connections() == 1;
        assert!(!unnoticed, "{plan:?}");
    }
}

/// The connection breaks again and again after the commit.
#[test]
fn a_commit_is_brought_until_it_is_heard() {
    let clean = plain(&Network::new(None), PATIENCE);
    let to_source = &clean.network.seen()[Way::ToSource as usize];
    // The second connection and all others answer with a welcome and RUNNING only.
    let running = to_source.len() - borders(to_source)[borders(to_source).len() - 2];
    for connections in [1, 2, 5] {
        let network = Network::new(Some(Plan {
            fault: Fault::Cut,
            way: Way::ToSource,
            after: to_source.len() - running,
            connections,
        }));
        let outcome = plain(&network, PATIENCE);
        outcome.check(&connections);
    }
}

#[test]
fn trouble_on_either_side_lets_the_source_go_on() {
    for trouble in [
        Trouble::Describe,
        Trouble::Log,
        Trouble::Pause,
        Trouble::Save,
        Trouble::Accept,
        Trouble::Memory,
        Trouble::Load,
    ] {
        let outcome = trial(&Network::new(None), PATIENT, trouble, |_, _| (), |_, _| ());
        outcome.check(&trouble);
        assert!(outcome.source.is_err(), "{trouble:?}");
    }
}

/// The connection breaks at the commit and comes back when the target has dropped the machine.
#[test]
fn a_commit_that_comes_too_late_is_said_to_have_lost_the_machine() {
    let network = Network::new(None);
    let patience = Patience {
        hold: SILENCE,
        commit: PATIENCE,
        ..PATIENT
    };
    let outcome = trial(
        &network,
        patience,
        Trouble::None,
        |phase, shared| {
            if phase == Phase::Commit {
                network.go_down_until_dropped(shared);
            }
        },
        |_, _| (),
    );
    assert!(
        matches!(outcome.source, Err(SendError::Lost { .. })),
        "{:?}",
        outcome.source
    );
    assert!(matches!(
        outcome.target,
        Err(ReceiveError::NotCommitted { .. })
    ));
    let ledger = outcome.shared.lock();
    assert_eq!(
        (ledger.source, ledger.target),
        (Doing::Left, Doing::Nothing)
    );
}
