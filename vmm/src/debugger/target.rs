//! The machine as `gdbstub` sees it: stopping all of it, and its registers.

use std::num::NonZeroUsize;
use std::sync::PoisonError;

use gdbstub::common::Tid;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{MultiThreadBase, MultiThreadResumeOps};
use gdbstub::target::ext::base::single_register_access::{
    SingleRegisterAccess, SingleRegisterAccessOps,
};
use gdbstub::target::ext::breakpoints::BreakpointsOps;
use gdbstub::target::ext::thread_extra_info::ThreadExtraInfoOps;
use gdbstub::target::{Target, TargetError, TargetResult};

use super::breakpoints::Points;
use super::registers::{AllRegisters, Register, VcpuRegisters, X86};
use super::resume::Actions;
use super::soft_step::{Ports, SoftStep, trap};
use crate::host::debugging::Debugging;
use crate::machine::Machine;
use crate::machine::claim::{Claim, Purpose};
use crate::machine::pause::PausedMachine;
use crate::pv::apic_id::VcpuIndex;
use crate::vcpu::Vcpu;
use crate::vcpu::debug::Debugger;
use crate::vcpu::leash::{Resume, ResumeError};
use crate::vcpu::stops::StopReason;

/// A machine with a debugger attached, until this is dropped.
#[derive(Debug)]
pub(super) struct Debugged<'m> {
    pub(super) machine: &'m Machine,
    /// There while the debugger has the word.
    hold: Option<PausedMachine<'m>>,
    pub(super) points: Points<'m>,
    pub(super) actions: Actions,
    pub(super) debugging: Debugging,
    pub(super) soft_step: SoftStep,
    _claim: Claim<'m>,
}

/// Why a debugger cannot be served any longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fatal {
    /// A vCPU does not do as it wishes.
    #[error("vCPU {0}")]
    Resume(u32, #[source] ResumeError),
}

/// `EFAULT` and `EINVAL`, which gdb shows.
pub(super) const FAULT: TargetError<Fatal> = TargetError::Errno(14);
pub(super) const INVALID: TargetError<Fatal> = TargetError::Errno(22);

/// What KVM says, for gdb.
pub(super) fn refused(error: kvm_ioctls::Error) -> TargetError<Fatal> {
    TargetError::Errno(u8::try_from(error.errno()).unwrap_or(22))
}

/// gdb's threads count from 1.
pub(super) fn tid(vcpu: VcpuIndex) -> Tid {
    let number = usize::try_from(vcpu.0).unwrap_or(0);
    NonZeroUsize::MIN.saturating_add(number)
}

/// The vCPU of a thread; one that there is not, for a number that is none.
pub(super) fn vcpu(tid: Tid) -> VcpuIndex {
    VcpuIndex(u32::try_from(tid.get() - 1).unwrap_or(u32::MAX))
}

impl<'m> Debugged<'m> {
    /// Stops the machine for a debugger that has come, on a host that can do `debugging`.
    ///
    /// # Errors
    /// What else needs the guest's memory.
    pub(super) fn attach(machine: &'m Machine, debugging: Debugging) -> Result<Self, Purpose> {
        let claim = machine.claim(Purpose::Debugger)?;
        let hold = Some(PausedMachine::pause(machine));
        machine.board.stops.attach();
        machine
            .planted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .use_trap(trap(debugging.at_cpl3, Ports::of(machine)));
        Ok(Self {
            machine,
            hold,
            points: Points::new(machine),
            actions: Actions::default(),
            debugging,
            soft_step: SoftStep::default(),
            _claim: claim,
        })
    }

    /// Stops all vCPUs, if they are not.
    pub(super) fn hold(&mut self) {
        let machine = self.machine;
        self.hold
            .get_or_insert_with(|| PausedMachine::pause(machine));
    }

    /// Whether the debugger has the word.
    pub(super) fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// Lets the vCPUs go on, each as `plan` says.
    pub(super) fn let_go(
        &mut self,
        plan: impl Fn(VcpuIndex) -> (Debugger, Resume) + Send + Sync + 'static,
    ) -> Result<(), Fatal> {
        self.hold();
        let Some(hold) = &self.hold else {
            return Ok(());
        };
        let done = hold.each(move |vcpu| {
            let (wishes, how) = plan(vcpu.index());
            vcpu.resume(wishes, how)
        });
        for (index, done) in (0..).zip(done) {
            // A thread that has ended has nothing to go on with.
            done.unwrap_or(Ok(()))
                .map_err(|error| Fatal::Resume(index, error))?;
        }
        self.hold = None;
        Ok(())
    }

    /// The next stop to tell, with the machine held.
    pub(super) fn next_stop(&mut self) -> Option<(VcpuIndex, StopReason)> {
        if self.machine.board.stops.is_empty() {
            return None;
        }
        self.hold();
        let (vcpu, reason) = self.machine.board.stops.take()?;
        let step = self.end_soft_step();
        let is_step = reason == StopReason::SoftwareBreak && self.has_done(&step, vcpu);
        Some((vcpu, if is_step { StopReason::Step } else { reason }))
    }

    /// Has a vCPU's thread do `task`.
    pub(super) fn on<T: Send + 'static>(
        &self,
        tid: Tid,
        task: impl FnOnce(&mut Vcpu) -> T + Send + 'static,
    ) -> Result<T, TargetError<Fatal>> {
        let done = self.hold.as_ref().and_then(|hold| hold.on(vcpu(tid), task));
        done.ok_or(TargetError::NonFatal)
    }

    pub(super) fn registers(&self, tid: Tid) -> Result<VcpuRegisters, TargetError<Fatal>> {
        self.on(tid, |vcpu| VcpuRegisters::read(vcpu.fd()))?
            .map_err(refused)
    }

    fn change(
        &self,
        tid: Tid,
        change: impl FnOnce(&mut VcpuRegisters) -> Result<(), super::registers::Refused>,
    ) -> Result<(), TargetError<Fatal>> {
        let before = self.registers(tid)?;
        let mut after = before;
        change(&mut after).map_err(|_| INVALID)?;
        self.on(tid, move |vcpu| after.write(&before, vcpu.fd()))?
            .map_err(refused)
    }
}

impl Drop for Debugged<'_> {
    /// The machine goes on as if nobody had been there.
    fn drop(&mut self) {
        self.hold();
        self.soft_step = SoftStep::default();
        self.points.remove_all();
        self.machine.board.stops.detach();
        // Without its breakpoints no vCPU needs more registers than there are, and one that KVM
        // refuses to let go stays where it is: the watchdog tells of it.
        let _ = self.let_go(|_| (Debugger::default(), Resume::Run));
    }
}

impl Target for Debugged<'_> {
    type Arch = X86;
    type Error = Fatal;

    fn base_ops(&mut self) -> BaseOps<'_, X86, Fatal> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Debugged<'_> {
    fn read_registers(&mut self, into: &mut AllRegisters, tid: Tid) -> TargetResult<(), Self> {
        *into = AllRegisters::from(&self.registers(tid)?);
        Ok(())
    }

    fn write_registers(&mut self, from: &AllRegisters, tid: Tid) -> TargetResult<(), Self> {
        self.change(tid, |registers| from.give_to(registers))
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u64, into: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        self.read_memory(start, into, tid)
    }

    fn write_addrs(&mut self, start: u64, bytes: &[u8], tid: Tid) -> TargetResult<(), Self> {
        self.write_memory(start, bytes, tid)
    }

    fn list_active_threads(&mut self, is_active: &mut dyn FnMut(Tid)) -> Result<(), Fatal> {
        self.threads().for_each(is_active);
        Ok(())
    }

    fn is_thread_alive(&mut self, tid: Tid) -> Result<bool, Fatal> {
        Ok(self.machine.board.vcpu(vcpu(tid)).is_some())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for Debugged<'_> {
    fn read_register(
        &mut self,
        tid: Tid,
        register: Register,
        into: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let value = self.registers(tid)?.get(register);
        let bytes = register.bytes().min(into.len());
        into[..bytes].copy_from_slice(&value[..bytes]);
        Ok(bytes)
    }

    fn write_register(
        &mut self,
        tid: Tid,
        register: Register,
        value: &[u8],
    ) -> TargetResult<(), Self> {
        self.change(tid, |registers| registers.set(register, value))
    }
}
