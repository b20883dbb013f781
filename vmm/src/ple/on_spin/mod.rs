//! What to do with a vCPU that spins: the handlers of KVM's history, and ours.
//!
//! Each is a pure function of what the scheduler knows at that moment. What the real ones learn from
//! the host's scheduler, the VMM's own tells: `task->flags & PF_VCPU` and a failing `yield_to` are
//! `Standing::OnPcpu`, an active wait queue is `Standing::Halted`, `vcpu->ready` without
//! `vcpu->preempted` is `Standing::Kicked`.

mod queue;
mod set;
pub(super) mod table;

use std::time::Duration;

pub use set::VcpuSet;

use super::config::OnSpin;
use crate::sched::view::{VcpuView, View};

/// What becomes of the spinner's pCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It spins on.
    Nothing,
    /// It sleeps for so long, without a pCPU.
    Sleep(Duration),
    /// This vCPU gets its pCPU.
    YieldTo(usize),
    /// This vCPU gets its pCPU until it is outside all locks.
    LendTo(usize),
}

/// What the guest is told about the wait of the spinner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Nothing.
    Nothing,
    /// To halt at once, if its lock has a slow path.
    ToHalt,
}

/// How long the spinner may spin until it is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The window grows as KVM's, without end.
    AsKvm,
    /// The window grows, but only so far that it is soon noticed when spinning is right no longer.
    Bounded,
}

/// What a handler decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the pCPU.
    pub action: Action,
    /// The vCPUs whose `dy_eligible` flips.
    pub flips: VcpuSet,
    /// What the guest is told.
    pub tell: Tell,
    /// When the spinner comes back.
    pub patience: Patience,
}

impl From<Action> for Verdict {
    fn from(action: Action) -> Self {
        Self {
            action,
            flips: VcpuSet::EMPTY,
            tell: Tell::Nothing,
            patience: Patience::AsKvm,
        }
    }
}

macro_rules! files {
    ($($file:ident, $handler:ident $name:literal, $yields:ident, $help:literal, $reference:literal;)*) => {
        $(mod $file;)*

        /// Asks the handler `on_spin`.
        pub fn decide(on_spin: OnSpin, view: &View<'_>) -> Verdict {
            match on_spin {
                $(OnSpin::$handler => $file::decide(view),)*
            }
        }
    };
}

table::handlers!(files);

/// The vCPUs in the order in which KVM looks at them since 2012 (`5cfc2aabcb28`): from the one
/// after the last boosted, once around. The spinner is left out.
fn after_last_boosted<'a>(view: &View<'a>) -> impl Iterator<Item = (usize, &'a VcpuView)> {
    let (count, spinner) = (view.vcpus.len(), view.spinner);
    let first = view.last_boosted.saturating_add(1).min(count);
    let vcpus = view.vcpus;
    (first..count)
        .chain(0..first)
        .filter(move |index| *index != spinner)
        .filter_map(|index| Some((index, vcpus.get(index)?)))
}

/// `kvm_vcpu_eligible_for_directed_yield` of `06e48c510aa3`: a vCPU that does not spin, or that spins
/// and was passed over the last time. Looking at one that spins flips its mark.
fn is_eligible(index: usize, vcpu: &VcpuView, flips: &mut VcpuSet) -> bool {
    if vcpu.in_spin_loop {
        flips.insert(index);
    }
    !vcpu.in_spin_loop || vcpu.dy_eligible
}

/// The walk of `kvm_vcpu_on_spin` since 2012: the first that `may_run` says yes to and that is
/// eligible.
fn first_eligible(view: &View<'_>, may_run: impl Fn(&VcpuView) -> bool) -> Verdict {
    let mut flips = VcpuSet::EMPTY;
    let target = after_last_boosted(view)
        .filter(|(_, vcpu)| may_run(vcpu))
        .find(|(index, vcpu)| is_eligible(*index, vcpu, &mut flips));
    let action = target.map_or(Action::Nothing, |(index, _)| Action::YieldTo(index));
    Verdict {
        flips,
        ..action.into()
    }
}

#[cfg(test)]
#[path = "property_test.rs"]
mod property_tests;

#[cfg(test)]
#[path = "test_views.rs"]
mod test_views;
