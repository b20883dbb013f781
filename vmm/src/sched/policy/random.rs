//! Drawn: decision n ranks *all* vCPUs, able to run or not, and the best-ranked one that can run is
//! next. So the ranks depend on the seed and on n alone, and equal sets of candidates give equal
//! picks whatever happened before.

use super::{Candidate, Rule};
use crate::random::mix;

/// The rank of `vcpu` in decision `decision`; the greatest is the best. SplitMix64's output
/// function over the three numbers.
fn rank(seed: u64, decision: u64, vcpu: usize) -> u64 {
    let vcpu = u64::try_from(vcpu).unwrap_or(u64::MAX);
    mix(mix(mix(seed).wrapping_add(decision)).wrapping_add(vcpu))
}

/// What is drawn depends on the seed.
#[derive(Clone, Copy, Debug)]
pub(in crate::sched) struct Random {
    seed: u64,
}

impl Rule for Random {
    fn new(seed: u64, _pcpus: usize) -> Self {
        Self { seed }
    }

    fn draw(&self, decision: u64, vcpus: usize, draws: &mut Vec<u64>) {
        draws.extend((0..vcpus).map(|vcpu| rank(self.seed, decision, vcpu)));
    }

    fn pick(&self, draws: &[u64], candidates: &[Candidate]) -> Option<usize> {
        // The index decides where two hashes are equal.
        let rank = |candidate: &&Candidate| (draws.get(candidate.vcpu), candidate.vcpu);
        Some(candidates.iter().max_by_key(rank)?.vcpu)
    }
}
