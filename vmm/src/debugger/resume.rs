//! Going on: all vCPUs, or some of them, and step by step.

use std::collections::BTreeSet;

use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::multithread::{
    MultiThreadResume, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps,
    MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use kvm_bindings::{KVM_CAP_SET_GUEST_DEBUG2, KVM_GUESTDBG_BLOCKIRQ};

use super::target::{Debugged, Fatal, vcpu};
use crate::machine::Machine;
use crate::pv::apic_id::VcpuIndex;
use crate::vcpu::debug::{Debugger, Stepping};
use crate::vcpu::leash::Resume;

/// What the debugger has asked for, until it says go.
#[derive(Clone, Debug, Default)]
pub(super) struct Actions {
    stepping: BTreeSet<VcpuIndex>,
    running: BTreeSet<VcpuIndex>,
    others: Others,
}

/// What becomes of vCPUs that are not named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Others {
    #[default]
    Run,
    /// gdb's scheduler-locking.
    Stay,
}

impl Actions {
    /// One runs, and nobody else.
    fn only(vcpu: VcpuIndex) -> Self {
        Self {
            running: BTreeSet::from([vcpu]),
            others: Others::Stay,
            ..Self::default()
        }
    }

    fn of(&self, vcpu: VcpuIndex, how_to_step: Stepping) -> (Stepping, Resume) {
        if self.stepping.contains(&vcpu) {
            (how_to_step, Resume::Run)
        } else if self.running.contains(&vcpu) || self.others == Others::Run {
            (Stepping::Off, Resume::Run)
        } else {
            (Stepping::Off, Resume::Stay)
        }
    }
}

/// A step should be one of the code that is looked at, not of an interrupt handler.
fn how_to_step(machine: &Machine) -> Stepping {
    let flags = machine
        .vm
        .check_extension_raw(KVM_CAP_SET_GUEST_DEBUG2.into());
    match u32::try_from(flags) {
        Ok(flags) if flags & KVM_GUESTDBG_BLOCKIRQ != 0 => Stepping::WithoutInterrupts,
        _ => Stepping::On,
    }
}

impl MultiThreadResume for Debugged<'_> {
    fn resume(&mut self) -> Result<(), Fatal> {
        if !self.machine.board.stops.is_empty() {
            // A stop that would be lost is told first, as if it had just happened.
            return Ok(());
        }
        if let [stepping] = self.actions.stepping.iter().copied().collect::<Vec<_>>()[..]
            && self.begin_soft_step(stepping)
        {
            self.actions = Actions::only(stepping);
            if !self.machine.board.stops.is_empty() {
                // Done already.
                return Ok(());
            }
        }
        let (actions, how_to_step) = (self.actions.clone(), how_to_step(self.machine));
        let wishes = Debugger {
            points: self.points.hardware(),
            stepping: Stepping::Off,
            ..self.points.planted()
        };
        self.let_go(move |vcpu| {
            let (stepping, how) = actions.of(vcpu, how_to_step);
            let wishes = Debugger {
                stepping,
                ..wishes.clone()
            };
            (wishes, how)
        })
    }

    fn clear_resume_actions(&mut self) -> Result<(), Fatal> {
        self.actions = Actions::default();
        Ok(())
    }

    fn set_resume_action_continue(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Fatal> {
        // A guest has no signals.
        self.actions.running.insert(vcpu(tid));
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Debugged<'_> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Fatal> {
        self.actions.stepping.insert(vcpu(tid));
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Debugged<'_> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Fatal> {
        self.actions.others = Others::Stay;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_named_runs_unless_the_scheduler_is_locked() {
        let [first, second, third] = [0, 1, 2].map(VcpuIndex);
        let mut actions = Actions {
            stepping: BTreeSet::from([first]),
            running: BTreeSet::from([second]),
            others: Others::Run,
        };
        let of = |actions: &Actions, vcpu| actions.of(vcpu, Stepping::On);
        assert_eq!(of(&actions, first), (Stepping::On, Resume::Run));
        assert_eq!(of(&actions, second), (Stepping::Off, Resume::Run));
        assert_eq!(of(&actions, third), (Stepping::Off, Resume::Run));
        actions.others = Others::Stay;
        assert_eq!(of(&actions, first), (Stepping::On, Resume::Run));
        assert_eq!(of(&actions, second), (Stepping::Off, Resume::Run));
        assert_eq!(of(&actions, third), (Stepping::Off, Resume::Stay));
    }
}
