//! Gangs: as many vCPUs as there are tokens run together, gang after gang. A token that a halted
//! member leaves goes to somebody of the gangs that come next, until the gang's slice ends.

use super::{Candidate, Rule};

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(in crate::sched) struct Gang {
    size: usize,
    current: usize,
}

impl Gang {
    fn of(&self, vcpu: usize) -> usize {
        vcpu / self.size
    }

    /// Whether `vcpu` is of the gang whose turn it is.
    pub(in crate::sched) fn has_turn(&self, vcpu: usize) -> bool {
        self.of(vcpu) == self.current
    }

    /// Gangs from the one whose turn it is to that of `vcpu`, once around.
    fn distance(&self, vcpu: usize) -> (bool, usize) {
        let gang = self.of(vcpu);
        (gang < self.current, gang)
    }

    /// The slice is over: the turn goes to the next gang of which somebody waits.
    pub(in crate::sched) fn next(&mut self, waiting: impl Iterator<Item = usize>) {
        let gangs = waiting.filter(|&vcpu| !self.has_turn(vcpu));
        if let Some(next) = gangs.min_by_key(|&vcpu| self.distance(vcpu)) {
            self.current = self.of(next);
        }
    }
}

impl Rule for Gang {
    fn new(_seed: u64, pcpus: usize) -> Self {
        Self {
            size: pcpus.max(1),
            current: 0,
        }
    }

    fn pick(&self, _draws: &[u64], candidates: &[Candidate]) -> Option<usize> {
        let order = |candidate: &&Candidate| (self.distance(candidate.vcpu), candidate.place);
        Some(candidates.iter().min_by_key(order)?.vcpu)
    }
}
