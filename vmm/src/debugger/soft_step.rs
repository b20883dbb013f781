//! Stepping and breakpoints where KVM does not stop a guest at CPL 3.
//!
//! What stops it there is an access to a port, where the guest allows CPL 3 to make one (IOPL 3,
//! as our payload does). So a breakpoint is an `out %al,(%dx)`, and a step is a breakpoint wherever
//! the instruction can lead, with the other vCPUs held: they would run into it.
//!
//! Not on a PC: a port of KVM's own PICs and PIT would not stop it, but be written. There it is an
//! INT3, which KVM cannot emulate at CPL 0, and that stops the vCPU as well. At CPL 3 nothing does:
//! a kernel keeps its processes from all ports.

use std::sync::PoisonError;

use gdbstub::common::Tid;
use kvm_bindings::kvm_regs;

use super::next::{self, INSTRUCTION_BYTES, Place};
use super::target::{Debugged, tid};
use crate::host::debugging::AtCpl3;
use crate::machine::Machine;
use crate::machine::planted::Owner;
use crate::pv::apic_id::VcpuIndex;
use crate::vcpu::debug::Trap;
use crate::vcpu::stops::StopReason;

/// A step under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SoftStep {
    /// Who steps.
    vcpu: Option<VcpuIndex>,
    /// Where it may come to.
    targets: Vec<u64>,
    /// Those of them that something is planted at for it.
    planted: Vec<u64>,
}

impl SoftStep {
    /// Whether a vCPU that stopped at `rip` has done its step.
    fn ends_at(&self, vcpu: VcpuIndex, rip: u64) -> bool {
        self.vcpu == Some(vcpu) && self.targets.contains(&rip)
    }
}

/// Which devices the guest reaches by ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    /// All are the VMM's: each access stops the vCPU.
    Vmms,
    /// Some are KVM's own: those of a PC.
    SomeOfKvm,
}

impl Ports {
    /// A machine's.
    pub(super) fn of(machine: &Machine) -> Self {
        match machine.board.ports.pc {
            None => Self::Vmms,
            Some(_) => Self::SomeOfKvm,
        }
    }
}

/// What is planted on a host like this.
pub(super) fn trap(at_cpl3: AtCpl3, ports: Ports) -> Trap {
    match (at_cpl3, ports) {
        (AtCpl3::Stops, _) | (AtCpl3::Ignored, Ports::SomeOfKvm) => Trap::Int3,
        (AtCpl3::Ignored, Ports::Vmms) => Trap::PortOut,
    }
}

impl Debugged<'_> {
    /// What is planted here.
    pub(super) fn trap(&self) -> Trap {
        trap(self.debugging.at_cpl3, Ports::of(self.machine))
    }

    /// Prepares the step of a vCPU that KVM does not step; false where KVM does, or where nobody
    /// can.
    pub(super) fn begin_soft_step(&mut self, vcpu: VcpuIndex) -> bool {
        let thread = tid(vcpu);
        if self.trap() == Trap::Int3 {
            return false;
        }
        let Ok(registers) = self.registers(thread) else {
            return false;
        };
        let (regs, sregs) = (registers.regs, registers.sregs);
        if sregs.ss.dpl != 3 || sregs.cs.l == 0 {
            return false;
        }
        let mut code = [0; INSTRUCTION_BYTES];
        let Ok(bytes) = self.read_memory(regs.rip, &mut code, thread) else {
            return false;
        };
        if let Some(rcx) = next::stays(&regs, &code[..bytes]) {
            return self.step_in_place(vcpu, kvm_regs { rcx, ..regs });
        }
        let place = Place {
            regs: &regs,
            fs_base: sregs.fs.base,
            gs_base: sregs.gs.base,
        };
        let targets = next::after(place, &code[..bytes], |address| {
            let mut word = [0; 8];
            let bytes = self.read_memory(address, &mut word, thread).ok()?;
            (bytes == word.len()).then(|| u64::from_le_bytes(word))
        });
        let planted = self.plant_targets(thread, &targets);
        self.soft_step = SoftStep {
            vcpu: Some(vcpu),
            targets,
            planted,
        };
        true
    }

    /// The step of a jump to itself, which nothing could be planted behind: it is told as done.
    fn step_in_place(&self, vcpu: VcpuIndex, after: kvm_regs) -> bool {
        let done = self.on(tid(vcpu), move |vcpu| vcpu.fd().set_regs(&after));
        let is_done = matches!(done, Ok(Ok(())));
        if is_done {
            self.machine.board.stops.tell(vcpu, StopReason::Step);
        }
        is_done
    }

    fn plant_targets(&self, thread: Tid, targets: &[u64]) -> Vec<u64> {
        let mut planted = self
            .machine
            .planted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::new();
        for &target in targets {
            // Where nothing is mapped the vCPU will not get.
            if let Ok(gpa) = self.physical(target, thread)
                && planted
                    .plant(&self.machine.memory, target, gpa, Owner::Step)
                    .is_ok()
            {
                new.push(target);
            }
        }
        new
    }

    /// Takes the step's breakpoints away. While the machine is held.
    pub(super) fn end_soft_step(&mut self) -> SoftStep {
        let step = std::mem::take(&mut self.soft_step);
        let mut planted = self
            .machine
            .planted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for &target in &step.planted {
            planted.pull(&self.machine.memory, target, Owner::Step);
        }
        step
    }

    /// Whether a vCPU that met what is planted has done its step.
    pub(super) fn has_done(&self, step: &SoftStep, vcpu: VcpuIndex) -> bool {
        let rip = self.registers(tid(vcpu)).map(|found| found.regs.rip);
        rip.is_ok_and(|rip| step.ends_at(vcpu, rip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_reaches_kvm_s_own_devices_is_planted() {
        for (at_cpl3, ports, expected) in [
            (AtCpl3::Stops, Ports::Vmms, Trap::Int3),
            (AtCpl3::Stops, Ports::SomeOfKvm, Trap::Int3),
            (AtCpl3::Ignored, Ports::Vmms, Trap::PortOut),
            (AtCpl3::Ignored, Ports::SomeOfKvm, Trap::Int3),
        ] {
            assert_eq!(trap(at_cpl3, ports), expected, "{at_cpl3:?} {ports:?}");
        }
    }
}
