//! The run loop.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kvm_bindings::{
    KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_RUNNABLE,
    KVM_MP_STATE_UNINITIALIZED, kvm_mp_state, kvm_regs, kvm_sregs,
};
use kvm_ioctls::{SyncReg, VcpuFd};

use super::control::Request;
use super::debug::GuestDebug;
use super::exits::Reason;
use super::fwait::{self, FWAIT, Fwait};
use super::hypercall::CallSite;
use super::inspect::Activity;
use super::int3::{self, INT3};
use super::leash::Leash;
use super::serve::{After, serve};
use super::shared::VcpuShared;
use crate::boot::pvh_registers;
use crate::cpu::lapic::LocalApic;
use crate::kvm::internal_error::{self, InternalError};
use crate::pv::HaltIn;
use crate::pv::apic_id::VcpuIndex;
use crate::pv::halt::Start;
use crate::report::crash::CrashReason;
use crate::vcpu::board::Board;
use crate::vcpu::ending::{Crash, Ending};

/// One vCPU and what its thread needs.
#[derive(Debug)]
pub struct Vcpu {
    pub(super) index: VcpuIndex,
    pub(super) fd: VcpuFd,
    pub(super) shared: Arc<VcpuShared>,
    pub(super) board: Arc<Board>,
    /// Our own local APIC, under `--halt vmm`.
    pub(super) lapic: Option<LocalApic>,
    /// What it does while it is in the VMM's hands. Always `Running` where KVM keeps MP_STATE.
    pub(super) activity: Activity,
    /// The segments after reset, to start from at SIPI.
    reset_sregs: Option<kvm_sregs>,
    /// KVM_RUN has been called, so an instruction may be half done.
    pub(super) has_entered: bool,
    /// KVM leaves the segments in `kvm_run` at every exit.
    syncs_sregs: bool,
    /// EAGAINs of KVM_RUN so far.
    agains: u32,
    /// What KVM is told to stop at.
    pub(super) debug: GuestDebug,
    /// The `int3` that was carried out last, until the guest has been entered since.
    pub(super) int3: Option<int3::Injected>,
    /// Whether a debugger holds it.
    pub(super) leash: Leash,
    /// It had a token when it last looked, where the VMM schedules.
    pub(super) has_token: bool,
}

/// After more EAGAINs than this, take it that this kernel does not forget a kick.
const AGAINS_AT_ONCE: u32 = 16;
/// How long to wait then.
const AGAIN_PAUSE: Duration = Duration::from_millis(1);
/// More exits than any instruction but a string instruction needs to come to its end.
pub(super) const EXITS_TO_FINISH: u32 = 1 << 16;

impl Vcpu {
    /// A vCPU whose registers are as it starts.
    ///
    /// # Errors
    /// What KVM says.
    pub fn new(
        index: VcpuIndex,
        mut fd: VcpuFd,
        shared: Arc<VcpuShared>,
        board: Arc<Board>,
    ) -> Result<Self, kvm_ioctls::Error> {
        let own_apic = board.halt_in == HaltIn::Vmm;
        let waits = own_apic && index.0 != 0;
        let reset_sregs = if own_apic {
            Some(fd.get_sregs()?)
        } else {
            None
        };
        if board.sync_regs {
            fd.set_sync_valid_reg(SyncReg::Register);
        }
        let mut debug = GuestDebug::new(board.kick_site);
        debug.apply(&fd)?;
        Ok(Self {
            lapic: own_apic.then(|| LocalApic::new(shared.apic_id, index.0 == 0)),
            activity: if waits {
                Activity::WaitingForSipi
            } else {
                Activity::Running
            },
            index,
            fd,
            shared,
            board,
            reset_sregs,
            has_entered: false,
            syncs_sregs: false,
            agains: 0,
            debug,
            int3: None,
            leash: Leash::default(),
            has_token: false,
        })
    }

    /// Its index.
    pub fn index(&self) -> VcpuIndex {
        self.index
    }

    /// What other threads see of it.
    pub fn shared(&self) -> &Arc<VcpuShared> {
        &self.shared
    }

    /// KVM's descriptor.
    pub fn fd(&self) -> &VcpuFd {
        &self.fd
    }

    /// Runs the guest until the machine stops this vCPU.
    pub fn run(mut self) -> Self {
        let shared = Arc::clone(&self.shared);
        shared.control.thread_starts();
        loop {
            if shared.control.is_pending() {
                if shared.control.obey(|asked| self.carry_out(asked)) == Request::Stop {
                    break;
                }
                if shared.is_held_off() {
                    self.leaves_pcpu();
                    shared.wait_held_off();
                }
                continue;
            }
            if self.is_held() {
                self.leaves_pcpu();
                shared.control.wait_until_pending();
                continue;
            }
            let activity = self.activity;
            let ending = match activity {
                Activity::Running if self.gets_on_pcpu() => self.enter(),
                Activity::Running => None,
                Activity::Halted => self.wait_halted(),
                Activity::WaitingForSipi => self.wait_for_sipi(),
            };
            if let Some(ending) = ending {
                self.end(ending);
            }
        }
        self.leaves_pcpu();
        shared.control.thread_ends();
        self
    }

    fn enter(&mut self) -> Option<Ending> {
        if self.lapic.is_some() && self.shared.halt.take_init() {
            self.finish_instruction();
            self.activity = Activity::WaitingForSipi;
            return None;
        }
        self.has_entered = true;
        self.board.trace.enters(self.index);
        let after = match self.fd.run() {
            Ok(exit) => {
                self.board.trace.left(self.index);
                self.int3 = None;
                serve(
                    exit,
                    &self.board,
                    &self.shared,
                    &self.debug,
                    self.lapic.as_mut(),
                    self.index,
                )
            }
            Err(error) => self.not_entered(error),
        };
        self.follow(after)
    }

    pub(super) fn follow(&mut self, after: After) -> Option<Ending> {
        match after {
            After::Continue => None,
            After::Hypercall => self.hypercall(CallSite::Stub),
            After::XenHypercall => self.xen_hypercall(),
            After::InterceptedXenHypercall => self.intercepted_xen_hypercall(),
            After::Halt => self.halt(),
            After::Debug(stop) => self.stopped(stop),
            After::PortOut(port, byte) => self.port_out(port, byte),
            After::InternalError => self.internal_error(),
            After::End(ending) => Some(self.with_registers(ending)),
        }
    }

    fn not_entered(&mut self, error: kvm_ioctls::Error) -> After {
        match error.errno() {
            libc::EINTR => {
                self.shared.exits.count(Reason::Interrupted);
                After::Continue
            }
            libc::EAGAIN => {
                self.shared.exits.count(Reason::Again);
                match self.calm_waiting_for_sipi() {
                    Ok(()) => After::Continue,
                    Err(error) => After::End(Ending::Failed(self.index, error.into())),
                }
            }
            _ => After::End(Ending::Failed(self.index, error.into())),
        }
    }

    /// A kick makes KVM_RUN of a vCPU that waits for SIPI return at once, again and again, as long
    /// as `pv_unhalted` is set. Since Linux 6.15 a move to RUNNABLE clears it; INIT and SIPI that
    /// come meanwhile are kept elsewhere (`apic->pending_events`) and lose nothing. Before 6.15
    /// nothing clears it, and all that can be done is to ask again only now and then.
    fn calm_waiting_for_sipi(&mut self) -> Result<(), kvm_ioctls::Error> {
        let state = self.fd.get_mp_state()?;
        if !matches!(
            state.mp_state,
            KVM_MP_STATE_UNINITIALIZED | KVM_MP_STATE_INIT_RECEIVED
        ) {
            return Ok(());
        }
        self.fd.set_mp_state(kvm_mp_state {
            mp_state: KVM_MP_STATE_RUNNABLE,
        })?;
        self.fd.set_mp_state(state)?;
        self.agains += 1;
        if self.agains > AGAINS_AT_ONCE {
            thread::sleep(AGAIN_PAUSE);
        }
        Ok(())
    }

    /// Halts: under `--halt kvm` by asking KVM for it, under `--halt vmm` in [`Self::wait_halted`].
    pub(super) fn halt(&mut self) -> Option<Ending> {
        self.board.trace.halted(self.index);
        self.shared.count_halt();
        if self.board.halt_in == HaltIn::Vmm {
            self.activity = Activity::Halted;
            return None;
        }
        // A kick that came before is not lost: the next KVM_RUN finds `pv_unhalted` and goes on.
        let halted = kvm_mp_state {
            mp_state: KVM_MP_STATE_HALTED,
        };
        self.fd
            .set_mp_state(halted)
            .err()
            .map(|e| Ending::Failed(self.index, e.into()))
    }

    fn wait_for_sipi(&mut self) -> Option<Ending> {
        self.leaves_pcpu();
        match self.shared.halt.wait_for_sipi() {
            Start::Request => None,
            Start::Sipi(vector) => {
                self.activity = Activity::Running;
                self.start_at(vector)
                    .err()
                    .map(|e| Ending::Failed(self.index, e.into()))
            }
        }
    }

    /// Makes KVM forget the instruction that the last exit was for. The next KVM_RUN would take
    /// over `kvm_dirty_regs` and finish a pending IN, MMIO read or RDMSR, over the registers that
    /// SIPI starts from; with `immediate_exit` it does so and does not enter the guest.
    ///
    /// `immediate_exit` is set as a request would set it: the loop clears it before the vCPU
    /// starts, under the lock that keeps a request which comes meanwhile.
    pub(super) fn finish_instruction(&mut self) {
        self.shared.control.interrupt();
        // An instruction with several pieces exits for each. INIT loses what they would do.
        let mut exits = 0;
        while self.fd.run().is_ok() && exits < EXITS_TO_FINISH {
            exits += 1;
        }
    }

    fn start_at(&mut self, vector: u8) -> Result<(), kvm_ioctls::Error> {
        if let Some(lapic) = &mut self.lapic {
            lapic.reset();
        }
        let mut sregs = self.reset_sregs.unwrap_or_default();
        pvh_registers::set_sipi_sregs(&mut sregs, vector);
        self.fd.set_sregs(&sregs)?;
        self.fd
            .set_regs(&pvh_registers::sipi_regs(self.board.signature))
    }

    /// Adds to a crash what only the vCPU knows.
    fn with_registers(&mut self, ending: Ending) -> Ending {
        let Ending::Crashed(mut crash) = ending else {
            return ending;
        };
        let registers = self
            .fd
            .get_regs()
            .and_then(|regs| Ok((regs, self.fd.get_sregs()?)));
        crash.registers = registers.ok().map(Box::new);
        Ending::Crashed(crash)
    }

    /// KVM cannot go on. An INT3 it cannot emulate is one as good as one that it took.
    fn internal_error(&mut self) -> Option<Ending> {
        let (reason, instruction_bytes) = match internal_error::read(self.fd.get_kvm_run()) {
            InternalError::Emulation { instruction_bytes } => {
                match instruction_bytes.first() {
                    Some(&INT3) => return self.int3(),
                    Some(&FWAIT) => match fwait::carry_out(&self.fd) {
                        Ok(Fwait::Done) => {
                            self.one_is_done();
                            return None;
                        }
                        Ok(Fwait::Faults) => {}
                        Err(error) => return Some(Ending::Failed(self.index, error.into())),
                    },
                    _ => {}
                }
                (CrashReason::EmulationFailure, instruction_bytes)
            }
            InternalError::Other { suberror } => {
                (CrashReason::InternalError { suberror }, Vec::new())
            }
        };
        Some(self.crashed(reason, instruction_bytes))
    }

    /// A crash with what only the vCPU knows.
    pub(super) fn crashed(&mut self, reason: CrashReason, instruction_bytes: Vec<u8>) -> Ending {
        self.with_registers(Ending::Crashed(Crash {
            vcpu: self.index,
            apic_id: self.shared.apic_id,
            reason,
            registers: None,
            instruction_bytes,
        }))
    }

    pub(super) fn regs(&mut self) -> Result<kvm_regs, kvm_ioctls::Error> {
        if self.board.sync_regs {
            Ok(self.fd.sync_regs().regs)
        } else {
            self.fd.get_regs()
        }
    }

    /// Segments and control registers. From the second call on KVM has left them in `kvm_run`: an
    /// ioctl loads the vCPU's whole state, which costs a twelfth of a kick on some hosts. A vCPU
    /// that never asks is spared the copy at every exit.
    pub(super) fn sregs(&mut self) -> Result<kvm_sregs, kvm_ioctls::Error> {
        if self.syncs_sregs {
            return Ok(self.fd.sync_regs().sregs);
        }
        if self.board.sync_regs {
            self.fd.set_sync_valid_reg(SyncReg::SystemRegister);
            self.syncs_sregs = true;
        }
        self.fd.get_sregs()
    }

    pub(super) fn set_rax(
        &mut self,
        mut regs: kvm_regs,
        rax: u64,
    ) -> Result<(), kvm_ioctls::Error> {
        regs.rax = rax;
        if self.board.sync_regs {
            self.fd.sync_regs_mut().regs = regs;
            self.fd.set_sync_dirty_reg(SyncReg::Register);
            Ok(())
        } else {
            self.fd.set_regs(&regs)
        }
    }
}
