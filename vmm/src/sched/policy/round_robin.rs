//! In the order in which they became able to run.

use super::Candidate;

pub(super) fn pick(candidates: &[Candidate]) -> Option<usize> {
    let first = candidates.iter().min_by_key(|candidate| candidate.place)?;
    Some(first.vcpu)
}
