//! Round robin, except that a vCPU preempted on purpose, at its acquire or its release, runs last:
//! behind all that wait, and behind the others that are on a pCPU now.

use super::round_robin::RoundRobin;
use super::{Candidate, Rule};

/// How many may go before who is preempted on purpose.
#[derive(Clone, Copy, Debug)]
pub(in crate::sched) struct Adversarial {
    pcpus: u64,
    order: RoundRobin,
}

impl Rule for Adversarial {
    fn new(seed: u64, pcpus: usize) -> Self {
        Self {
            pcpus: u64::try_from(pcpus).unwrap_or(u64::MAX),
            order: RoundRobin::new(seed, pcpus),
        }
    }

    fn pick(&self, draws: &[u64], candidates: &[Candidate]) -> Option<usize> {
        self.order.pick(draws, candidates)
    }

    /// A vCPU on one of the other pCPUs takes one place each.
    fn places_lost(&self) -> u64 {
        self.pcpus.saturating_sub(1)
    }
}
