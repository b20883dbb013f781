//! Every interleaving of a poll and an event. Run with `RUSTFLAGS="--cfg loom"`.

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::*;
use crate::pv::halt::{HaltState, Wake};
use crate::sync::{PollSide, without_barrier};

fn port() -> Port {
    Port::new(7).unwrap()
}

/// One vCPU that polls for port 7, and what it meets the sender in.
struct Machine {
    pollers: Pollers,
    pending: AtomicBool,
    halt: HaltState,
}

impl Machine {
    fn new() -> Self {
        Self {
            pollers: Pollers::new(1),
            pending: AtomicBool::new(false),
            halt: HaltState::default(),
        }
    }

    fn look(&self) -> Verdict {
        let is_pending = || self.pending.load(Ordering::Relaxed);
        let on = WaitsFor::Port(port());
        self.pollers.wait(VcpuIndex(0), on, is_pending)
    }

    fn poll(&self) {
        if self.look() == Verdict::Halt {
            assert_eq!(self.halt.halt(Duration::ZERO), Wake::Kicked);
        }
    }

    fn send(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            for _ in self.pollers.take(port()) {
                self.halt.kick();
            }
        }
    }
}

/// A poll that halts is kicked, and one that does not halt is not.
fn verdict_and_kick_agree() {
    loom::model(|| {
        let machine = Arc::new(Machine::new());
        let sender = Arc::clone(&machine);
        let thread = thread::spawn(move || sender.send());
        let verdict = machine.look();
        thread.join().unwrap();
        assert_eq!(verdict == Verdict::Halt, machine.halt.pv_unhalted());
    });
}

#[test]
fn no_event_is_lost_and_no_kick_is_left_over() {
    verdict_and_kick_agree();
}

#[test]
#[should_panic]
fn without_the_polls_barrier_an_event_is_lost() {
    without_barrier(PollSide::Poll, verdict_and_kick_agree);
}

#[test]
#[should_panic]
fn without_the_senders_barrier_an_event_is_lost() {
    without_barrier(PollSide::Send, verdict_and_kick_agree);
}

#[test]
fn a_poll_ends_with_its_event_whichever_of_two_senders_was_first() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let machine = Arc::new(Machine::new());
        let threads = [(), ()].map(|()| {
            let sender = Arc::clone(&machine);
            thread::spawn(move || sender.send())
        });
        // A model in which this waits for ever fails.
        machine.poll();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(machine.pending.load(Ordering::Relaxed));
        assert!(!machine.halt.pv_unhalted(), "a kick is left over");
    });
}
