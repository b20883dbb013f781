//! Round robin, except that a vCPU preempted on purpose, at its acquire or its release, runs last:
//! behind all that wait, and behind the others that are on a pCPU now.

/// A vCPU on one of the other pCPUs takes one place each.
pub(super) fn places_lost(pcpus: u64) -> u64 {
    pcpus.saturating_sub(1)
}
