//! The hand-over between a poll and an event: a word a vCPU that says which event it polls for.
//!
//! A poll writes its word, then looks at the pending bits. An event sets its bit, then looks at the
//! words. A full barrier stands between the two on either side, so at least one of them sees the
//! other: no event is missed. Whoever takes a word to 0 owns it: an event that takes it kicks, and a
//! poll that finds its word taken has a kick on its way, which it halts for and so uses up.
//!
//! A vCPU that was woken by something else keeps its word. The event that then takes it kicks a vCPU
//! that does not poll, and its next poll returns without its event: Xen's polls may do so.

use crate::pv::apic_id::VcpuIndex;
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed};
use crate::sync::{AtomicU32, poll_barrier, send_barrier};

use super::channels::Port;

/// The vCPU does not poll.
const NO: u32 = 0;
/// It polls for more than one port.
const ANY: u32 = u32::MAX;

/// What a poll waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// An event of this port.
    Port(Port),
    /// Any event of the machine.
    Any,
}

impl WaitsFor {
    fn word(self) -> u32 {
        match self {
            // Port 0 has no events; 0 means something else here.
            Self::Port(port) if port.number() != NO => port.number(),
            Self::Port(_) | Self::Any => ANY,
        }
    }
}

/// What a poll does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It returns at once.
    Pending,
    /// The vCPU halts; a kick ends it.
    Halt,
}

/// What each vCPU polls for.
#[derive(Debug)]
pub(super) struct Pollers {
    words: Box<[AtomicU32]>,
}

impl Pollers {
    /// Nobody polls.
    pub(super) fn new(vcpus: u32) -> Self {
        Self {
            words: (0..vcpus).map(|_| AtomicU32::new(NO)).collect(),
        }
    }

    /// `vcpu` polls. `is_pending` looks at its events, which are set before [`Self::take`].
    pub(super) fn wait(
        &self,
        vcpu: VcpuIndex,
        on: WaitsFor,
        is_pending: impl FnOnce() -> bool,
    ) -> Verdict {
        let word = usize::try_from(vcpu.0)
            .ok()
            .and_then(|at| self.words.get(at));
        let Some(word) = word else {
            return Verdict::Pending;
        };
        word.store(on.word(), Relaxed);
        poll_barrier();
        // Acquire: pairs with the AcqRel of who took it in `take`.
        if is_pending() && word.swap(NO, Acquire) != NO {
            Verdict::Pending
        } else {
            Verdict::Halt
        }
    }

    /// Those who poll for `port`, whose event has been set. The caller has to kick each.
    pub(super) fn take(&self, port: Port) -> impl Iterator<Item = VcpuIndex> {
        send_barrier();
        (0..)
            .map(VcpuIndex)
            .zip(&self.words)
            .filter(move |(_, word)| {
                let on = word.load(Relaxed);
                (on == ANY || on == port.number() && on != NO)
                    && word.compare_exchange(on, NO, AcqRel, Relaxed).is_ok()
            })
            .map(|(vcpu, _)| vcpu)
    }

    /// The words, by vCPU.
    pub(super) fn save(&self) -> Vec<u32> {
        self.words.iter().map(|word| word.load(Relaxed)).collect()
    }

    /// Takes over words that have been checked.
    pub(super) fn load(&self, words: &[u32]) {
        for (word, &saved) in self.words.iter().zip(words) {
            word.store(saved, Relaxed);
        }
    }
}

/// Whether a machine can have saved this word.
pub(super) fn is_word(word: u32) -> bool {
    word == ANY || Port::new(word).is_some()
}

#[cfg(all(test, loom))]
#[path = "pollers_loom_test.rs"]
mod loom_tests;

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn port(number: u32) -> Port {
        Port::new(number).unwrap()
    }

    fn taken(pollers: &Pollers, number: u32) -> Vec<u32> {
        pollers.take(port(number)).map(|vcpu| vcpu.0).collect()
    }

    #[test]
    fn an_event_takes_those_who_poll_for_it_and_once() {
        let pollers = Pollers::new(5);
        for (vcpu, on) in [
            (0, WaitsFor::Port(port(7))),
            (1, WaitsFor::Port(port(8))),
            (3, WaitsFor::Any),
        ] {
            let verdict = pollers.wait(VcpuIndex(vcpu), on, || false);
            assert_eq!(verdict, Verdict::Halt);
        }
        assert_eq!(taken(&pollers, 7), [0, 3]);
        assert!(taken(&pollers, 7).is_empty());
        assert_eq!(taken(&pollers, 8), [1]);
    }

    #[test]
    fn a_poll_that_finds_its_event_leaves_nothing_behind() {
        let pollers = Pollers::new(1);
        let on = WaitsFor::Port(port(7));
        assert_eq!(pollers.wait(VcpuIndex(0), on, || true), Verdict::Pending);
        assert!(taken(&pollers, 7).is_empty());
    }

    #[test]
    fn a_poll_that_was_taken_meanwhile_halts_for_the_kick_that_comes() {
        let pollers = Pollers::new(1);
        let on = WaitsFor::Port(port(7));
        let verdict = pollers.wait(VcpuIndex(0), on, || {
            assert_eq!(taken(&pollers, 7), [0]);
            true
        });
        assert_eq!(verdict, Verdict::Halt);
    }

    #[test]
    fn a_poll_for_port_0_is_woken_by_any_event() {
        let pollers = Pollers::new(1);
        let on = WaitsFor::Port(port(0));
        assert_eq!(pollers.wait(VcpuIndex(0), on, || false), Verdict::Halt);
        assert_eq!(taken(&pollers, 9), [0]);
    }

    #[test]
    fn a_vcpu_that_is_not_there_never_halts() {
        let verdict = Pollers::new(1).wait(VcpuIndex(1), WaitsFor::Any, || false);
        assert_eq!(verdict, Verdict::Pending);
    }
}
