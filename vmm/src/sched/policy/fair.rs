//! The one that has had the least time, as CFS has it: a vCPU that comes back from a halt does not
//! make up for the time it did not want (see `RunQueue::enqueue`).

use super::{Candidate, Rule};

/// Remembers nothing: the time is the candidates'.
#[derive(Clone, Copy, Debug)]
pub(in crate::sched) struct Fair;

impl Rule for Fair {
    fn new(_seed: u64, _pcpus: usize) -> Self {
        Self
    }

    fn pick(&self, _draws: &[u64], candidates: &[Candidate]) -> Option<usize> {
        let least = |candidate: &&Candidate| (candidate.virtual_ns, candidate.place);
        Some(candidates.iter().min_by_key(least)?.vcpu)
    }
}
