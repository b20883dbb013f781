//! vCPU scheduling in the VMM: N vCPUs share P tokens, and only who holds one is in KVM_RUN.

pub mod config;
pub mod decisions;
mod effects;
mod policy;
mod run_queue;
mod scheduler;
mod slices;
mod stats;
mod tokens;
pub mod view;

pub use scheduler::{Figures, Scheduler};
pub use slices::Slices;
pub use tokens::Went;

use view::Standing;

/// What became of a directed yield.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yielded {
    /// The target has the token now, and who yielded waits for another.
    HandedOver,
    /// The target does not wait for a token, or who yielded had none, or was told to give it up:
    /// then the policy says to whom. Nothing has changed.
    NotWaiting,
}

/// The pCPUs as an on-spin handler sees them.
pub trait Pcpus: std::fmt::Debug {
    /// Number of vCPUs.
    fn count(&self) -> usize;
    /// What `vcpu` does; [`Standing::Away`] for one that there is not.
    fn standing(&self, vcpu: usize) -> Standing;
    /// Calls `look` for each vCPU in order, with what they do at one moment. It must not wait.
    fn each(&self, look: &mut dyn FnMut(usize, Standing)) {
        (0..self.count()).for_each(|vcpu| look(vcpu, self.standing(vcpu)));
    }
    /// Hands the token of `from` to `to`. On the thread of `from`, outside KVM_RUN.
    fn yield_to(&self, from: usize, to: usize) -> Yielded;
}
