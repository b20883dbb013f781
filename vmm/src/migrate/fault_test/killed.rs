//! A side that is killed in any phase.

use super::super::error::SendError;
use super::super::fake::{Doing, Trouble};
use super::super::fake_network::Network;
use super::super::phase::Phase;
use super::{PATIENT, trial};

const PHASES: [Phase; 9] = [
    Phase::Hello,
    Phase::PreCopy { round: 1 },
    Phase::PreCopy { round: 3 },
    Phase::LastPages,
    Phase::State,
    Phase::Digest,
    Phase::Ready,
    Phase::Commit,
    Phase::Done,
];

#[test]
fn a_source_that_is_killed_in_any_phase_leaves_no_two_machines() {
    for kill_at in PHASES {
        let network = Network::new(None);
        let outcome = trial(
            &network,
            PATIENT,
            Trouble::None,
            |phase, shared| {
                if phase == kill_at {
                    shared.lock().source = Doing::Killed;
                    network.go_down();
                }
            },
            |_, _| (),
        );
        let ledger = outcome.shared.lock();
        assert!(!ledger.both_ran, "{kill_at}");
        let runs = ledger.target == Doing::Runs;
        // The COMMIT goes out after the phase has begun.
        assert_eq!(runs, kill_at == Phase::Done, "{kill_at}");
        assert_eq!(
            outcome.target.is_ok(),
            runs,
            "{kill_at}: {:?}",
            outcome.target
        );
    }
}

#[test]
fn a_target_that_is_killed_in_any_phase_leaves_no_two_machines() {
    for kill_at in PHASES {
        let network = Network::new(None);
        let down = network.clone();
        let outcome = trial(
            &network,
            PATIENT,
            Trouble::None,
            |_, _| (),
            move |phase, shared| {
                if phase == kill_at {
                    shared.lock().target = Doing::Killed;
                    down.go_down();
                }
            },
        );
        let ledger = outcome.shared.lock();
        assert!(!ledger.both_ran, "{kill_at}");
        match kill_at {
            Phase::Commit | Phase::Done => {
                // Whether it ran before it died cannot be known here. RUNNING may have been read.
                assert_eq!(ledger.source, Doing::Left, "{kill_at}");
                assert!(
                    matches!(outcome.source, Ok(_) | Err(SendError::Unconfirmed { .. })),
                    "{kill_at}: {:?}",
                    outcome.source
                );
            }
            _ => {
                assert_eq!(ledger.source, Doing::Runs, "{kill_at}");
                assert!(outcome.source.is_err_and(|error| error.runs_here()));
            }
        }
    }
}
