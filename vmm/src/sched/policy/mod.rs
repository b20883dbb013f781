//! Who is next: one small pure rule a policy.

mod adversarial;
mod fair;
mod gang;
mod random;
mod round_robin;

use super::config::PolicyKind;
pub(super) use gang::Gang;

/// A vCPU that waits for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its index.
    pub(super) vcpu: usize,
    /// Its place in the queue: less is earlier, and no two have the same.
    pub(super) place: u64,
    /// Its virtual time on a token, in ns.
    pub(super) virtual_ns: u64,
}

/// A policy and what it remembers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Policy {
    RoundRobin,
    Random { seed: u64 },
    Fair,
    Gang(Gang),
    Adversarial { pcpus: u64 },
}

impl Policy {
    pub(super) fn new(kind: PolicyKind, seed: u64, pcpus: usize) -> Self {
        match kind {
            PolicyKind::RoundRobin => Self::RoundRobin,
            PolicyKind::Random => Self::Random { seed },
            PolicyKind::Fair => Self::Fair,
            PolicyKind::Gang => Self::Gang(Gang::new(pcpus)),
            PolicyKind::Adversarial(_) => Self::Adversarial {
                pcpus: u64::try_from(pcpus).unwrap_or(u64::MAX),
            },
        }
    }

    /// Draws for the choice number `decision`, for each of `vcpus`, into `draws`; nothing where the
    /// policy draws nothing.
    pub(super) fn draw(&self, decision: u64, vcpus: usize, draws: &mut Vec<u64>) {
        draws.clear();
        if let Self::Random { seed } = self {
            draws.extend((0..vcpus).map(|vcpu| random::rank(*seed, decision, vcpu)));
        }
    }

    /// Who of `candidates` is next, after what [`Self::draw`] has drawn; `None` only where there is
    /// none.
    pub(super) fn pick(&self, draws: &[u64], candidates: &[Candidate]) -> Option<usize> {
        match self {
            Self::RoundRobin | Self::Adversarial { .. } => round_robin::pick(candidates),
            Self::Random { .. } => random::pick(draws, candidates),
            Self::Fair => fair::pick(candidates),
            Self::Gang(gang) => gang.pick(candidates),
        }
    }

    /// How many others may come and still go before a vCPU that was preempted on purpose.
    pub(super) fn places_lost(&self) -> u64 {
        match self {
            Self::Adversarial { pcpus } => adversarial::places_lost(*pcpus),
            _ => 0,
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "policy_test.rs"]
mod tests;
