//! The one that has had the least time, as CFS has it: a vCPU that comes back from a halt does not
//! make up for the time it did not want (see `RunQueue::enqueue`).

use super::Candidate;

pub(super) fn pick(candidates: &[Candidate]) -> Option<usize> {
    let least = |candidate: &&Candidate| (candidate.virtual_ns, candidate.place);
    Some(candidates.iter().min_by_key(least)?.vcpu)
}
