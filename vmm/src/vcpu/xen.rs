//! Xen's interface as the vCPU threads serve it: the hypercall page's MSR, and hypercalls.

use std::sync::Arc;

use guest_payload::abi::xen::MSR_HYPERCALL_PAGE;
use kvm_bindings::{kvm_regs, kvm_sregs};
use kvm_ioctls::{ReadMsrExit, WriteMsrExit};
use vm_memory::GuestMemoryMmap;

use super::caller_memory::LinearMemory;
use super::hypercall::caller;
use super::run::Vcpu;
use crate::kvm::xen::{self as kvm_xen, Intercepted};
use crate::memory::{OwnWrites, PAGE_BYTES};
use crate::pv::apic_id::VcpuIndex;
use crate::pv::xen::{Call, HypercallsBy, Outcome, Xen};
use crate::vcpu::board::Board;
use crate::vcpu::ending::Ending;

/// Xen's side of a machine, and what serving it needs.
#[derive(Debug)]
pub struct XenSide {
    /// Event channels, polls and the shared info page.
    pub interface: Xen,
    /// How hypercalls come.
    pub hypercalls_by: HypercallsBy,
    /// What the VMM has written into guest memory.
    pub own_writes: Arc<OwnWrites>,
    memory: GuestMemoryMmap,
}

impl XenSide {
    /// For a machine of `vcpus` vCPUs with this memory.
    pub fn new(vcpus: u32, memory: GuestMemoryMmap, hypercalls_by: HypercallsBy) -> Self {
        let own_writes = Arc::new(OwnWrites::default());
        Self {
            interface: Xen::new(vcpus, memory.clone(), Arc::clone(&own_writes)),
            hypercalls_by,
            own_writes,
            memory,
        }
    }

    /// Whether a port is the hypercall page's.
    pub(super) fn has_port(&self) -> bool {
        self.hypercalls_by == HypercallsBy::Port
    }

    /// Answers RDMSR; `false` if the MSR is not Xen's.
    pub(super) fn read_msr(&self, msr: &mut ReadMsrExit<'_>) -> bool {
        if msr.index == MSR_HYPERCALL_PAGE {
            *msr.data = 0;
        }
        msr.index == MSR_HYPERCALL_PAGE
    }

    /// Carries out WRMSR; `false` if the MSR is not Xen's. An address without RAM faults.
    pub(super) fn write_msr(&self, msr: &mut WriteMsrExit<'_>) -> bool {
        if msr.index != MSR_HYPERCALL_PAGE {
            return false;
        }
        let is_page_0 = msr.data.is_multiple_of(PAGE_BYTES);
        let fill = || {
            self.interface
                .fill_hypercall_page(msr.data, self.hypercalls_by)
        };
        if !is_page_0 || fill().is_err() {
            *msr.error = 1;
        }
        true
    }

    /// Serves a call of the vCPU `from`, whose segments and control registers `sregs` are.
    pub(super) fn serve(
        &self,
        call: &Call,
        sregs: &kvm_sregs,
        board: &Board,
        from: VcpuIndex,
    ) -> Outcome {
        let (mode, privilege) = caller(sregs, board.user_hypercalls_allowed());
        let memory = LinearMemory::new(&self.memory, &self.own_writes, sregs);
        self.interface
            .hypercall(call, mode, privilege, from, &memory, &board.kick)
    }
}

pub(super) fn call(regs: &kvm_regs) -> Call {
    Call {
        number: regs.rax,
        arguments: [regs.rdi, regs.rsi, regs.rdx],
    }
}

impl Vcpu {
    /// Serves a call that came by the port.
    pub(super) fn xen_hypercall(&mut self) -> Option<Ending> {
        let served = self.try_xen_hypercall();
        self.after_xen(served)
    }

    /// Serves a call that KVM handed over.
    pub(super) fn intercepted_xen_hypercall(&mut self) -> Option<Ending> {
        let served = self.try_intercepted();
        self.after_xen(served)
    }

    fn try_xen_hypercall(&mut self) -> Result<Outcome, kvm_ioctls::Error> {
        let board = Arc::clone(&self.board);
        let Some(xen) = &board.xen else {
            return Ok(Outcome::Answer(0));
        };
        let regs = self.regs()?;
        let sregs = self.sregs()?;
        let outcome = xen.serve(&call(&regs), &sregs, &board, self.index);
        self.set_rax(regs, rax(outcome).cast_unsigned())?;
        Ok(outcome)
    }

    fn try_intercepted(&mut self) -> Result<Outcome, kvm_ioctls::Error> {
        let board = Arc::clone(&self.board);
        let (Some(xen), Some(Intercepted { number, arguments })) =
            (&board.xen, kvm_xen::intercepted(self.fd.get_kvm_run()))
        else {
            return Ok(Outcome::Answer(0));
        };
        let sregs = self.sregs()?;
        let outcome = xen.serve(&Call { number, arguments }, &sregs, &board, self.index);
        kvm_xen::answer(self.fd.get_kvm_run(), rax(outcome).cast_unsigned());
        Ok(outcome)
    }

    fn after_xen(&mut self, served: Result<Outcome, kvm_ioctls::Error>) -> Option<Ending> {
        match served {
            Ok(Outcome::Answer(_)) => None,
            Ok(Outcome::Yield) => {
                self.yields_pcpu();
                None
            }
            Ok(Outcome::Halt) => self.halt(),
            Err(error) => Some(Ending::Failed(self.index, error.into())),
        }
    }
}

fn rax(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Answer(answer) => answer,
        Outcome::Yield | Outcome::Halt => 0,
    }
}
