//! In the order in which they became able to run.

use super::{Candidate, Rule};

/// Remembers nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::sched) struct RoundRobin;

impl Rule for RoundRobin {
    fn new(_seed: u64, _pcpus: usize) -> Self {
        Self
    }

    fn pick(&self, _draws: &[u64], candidates: &[Candidate]) -> Option<usize> {
        let first = candidates.iter().min_by_key(|candidate| candidate.place)?;
        Some(first.vcpu)
    }
}
