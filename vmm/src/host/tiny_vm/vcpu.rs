use std::sync::Arc;
use std::time::Duration;

use kvm_bindings::{
    CpuId, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_MP_STATE_RUNNABLE, kvm_guest_debug,
    kvm_regs, kvm_segment,
};
use kvm_ioctls::{VcpuExit, VcpuFd};
use vm_memory::mmap::MmapRegion;

use super::{CODE, Exit, PML4, Ring};
use crate::host::HostError;
use crate::host::error::Step;
use crate::kvm::timer::{RunTimer, thread_cpu_time};

/// How long a vCPU runs before somebody looks at it. A vCPU gets this much anew each time, so it
/// makes progress however busy the host is.
pub const LOOK_EVERY: Duration = Duration::from_micros(200);

/// What a guest reads from an MSR that KVM hands out.
pub const MSR_ANSWER: u64 = 0x5a;

const APIC_SPIV: usize = 0xf0;
const APIC_BASE_X2APIC: u64 = 1 << 10;

/// A vCPU of a [`TinyVm`](super::TinyVm).
#[derive(Debug)]
pub struct TinyVcpu {
    fd: VcpuFd,
    /// The guest can write it for as long as the vCPU lives.
    _memory: Arc<MmapRegion>,
}

impl TinyVcpu {
    pub(super) fn new(
        id: u64,
        fd: VcpuFd,
        memory: Arc<MmapRegion>,
        ring: Ring,
        cpuid: Option<&CpuId>,
    ) -> Result<Self, HostError> {
        if let Some(cpuid) = cpuid {
            fd.set_cpuid2(cpuid).step("KVM_SET_CPUID2")?;
        }
        enter_long_mode(&fd, ring)?;
        let vcpu = Self {
            fd,
            _memory: memory,
        };
        if id != 0 {
            // Only ID 0 is the bootstrap processor; KVM has the others wait for INIT and SIPI.
            vcpu.set_mp_state(KVM_MP_STATE_RUNNABLE)?;
        }
        Ok(vcpu)
    }

    /// The vCPU itself, for the ioctl that an experiment is about.
    pub fn fd(&mut self) -> &mut VcpuFd {
        &mut self.fd
    }

    /// Runs until an exit, until it blocks, or until `cpu_time` is used up.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn run(&mut self, cpu_time: Duration) -> Result<Exit, HostError> {
        let timer = RunTimer::for_this_thread().step("timer_create")?;
        self.run_looking(cpu_time, &timer, LOOK_EVERY)
    }

    /// As [`run`](Self::run), interrupted by `timer` every `look_every`; a vCPU that blocks is left
    /// in peace for so long.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn run_looking(
        &mut self,
        cpu_time: Duration,
        timer: &RunTimer,
        look_every: Duration,
    ) -> Result<Exit, HostError> {
        let start = thread_cpu_time();
        loop {
            timer.arm(look_every).step("timer_settime")?;
            let ran = self.enter();
            timer.disarm().step("timer_settime")?;
            if let Some(exit) = ran? {
                return Ok(exit);
            }
            let mp_state = self.mp_state()?;
            if mp_state != KVM_MP_STATE_RUNNABLE {
                return Ok(Exit::Waiting { mp_state });
            }
            if thread_cpu_time().saturating_sub(start) >= cpu_time {
                return Ok(Exit::Unfinished);
            }
        }
    }

    /// One `KVM_RUN`; `None` when a signal ended it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn enter(&mut self) -> Result<Option<Exit>, HostError> {
        let exit = match self.fd.run() {
            Ok(VcpuExit::IoOut(port, _)) => Exit::Out { port },
            Ok(VcpuExit::Hlt) => Exit::Hlt,
            Ok(VcpuExit::Debug(debug)) => Exit::Debug { rip: debug.pc },
            Ok(VcpuExit::X86Rdmsr(msr)) => {
                *msr.data = MSR_ANSWER;
                Exit::ReadMsr { index: msr.index }
            }
            Ok(VcpuExit::X86Wrmsr(msr)) => Exit::WriteMsr {
                index: msr.index,
                data: msr.data,
            },
            Ok(VcpuExit::Shutdown) => Exit::Shutdown,
            Ok(VcpuExit::InternalError) => Exit::InternalError,
            Ok(VcpuExit::Intr) => return Ok(None),
            Ok(_) => Exit::Other(self.fd.get_kvm_run().exit_reason),
            // EAGAIN: not started yet, and something stirred.
            Err(e) if matches!(e.errno(), libc::EINTR | libc::EAGAIN) => return Ok(None),
            Err(e) => return Err(e).step("KVM_RUN"),
        };
        Ok(Some(exit))
    }

    /// `KVM_MP_STATE_*`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mp_state(&self) -> Result<u32, HostError> {
        Ok(self.fd.get_mp_state().step("KVM_GET_MP_STATE")?.mp_state)
    }

    /// Sets `KVM_MP_STATE_*`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_mp_state(&self, mp_state: u32) -> Result<(), HostError> {
        self.fd
            .set_mp_state(kvm_bindings::kvm_mp_state { mp_state })
            .step("KVM_SET_MP_STATE")
    }

    /// The general registers.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn regs(&self) -> Result<kvm_regs, HostError> {
        self.fd.get_regs().step("KVM_GET_REGS")
    }

    /// Sets the general registers.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_regs(&self, regs: &kvm_regs) -> Result<(), HostError> {
        self.fd.set_regs(regs).step("KVM_SET_REGS")
    }

    /// Sets RAX.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_rax(&self, rax: u64) -> Result<(), HostError> {
        let regs = self.regs()?;
        self.set_regs(&kvm_regs { rax, ..regs })
    }

    /// From now on, an exit after each instruction.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn single_step(&self) -> Result<(), HostError> {
        self.debug(&kvm_guest_debug {
            control: KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
            ..Default::default()
        })
    }

    /// Sets breakpoints, or takes them away (all zero).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn debug(&self, debug: &kvm_guest_debug) -> Result<(), HostError> {
        self.fd.set_guest_debug(debug).step("KVM_SET_GUEST_DEBUG")
    }

    /// Software-enables the in-kernel LAPIC, without which nobody can kick the vCPU.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn enable_lapic(&self) -> Result<(), HostError> {
        let mut lapic = self.fd.get_lapic().step("KVM_GET_LAPIC")?;
        lapic.regs[APIC_SPIV + 1] |= 1;
        self.fd.set_lapic(&lapic).step("KVM_SET_LAPIC")
    }

    /// Puts the LAPIC into x2APIC mode; the CPUID must have that bit.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn enter_x2apic_mode(&self) -> Result<(), HostError> {
        let mut sregs = self.fd.get_sregs().step("KVM_GET_SREGS")?;
        sregs.apic_base |= APIC_BASE_X2APIC;
        self.fd.set_sregs(&sregs).step("KVM_SET_SREGS")
    }
}

fn enter_long_mode(vcpu: &VcpuFd, ring: Ring) -> Result<(), HostError> {
    let dpl = match ring {
        Ring::Kernel => 0,
        Ring::User => 3,
    };
    let segment = |selector: u16, type_| kvm_segment {
        limit: u32::MAX,
        selector: selector | u16::from(dpl),
        type_,
        present: 1,
        dpl,
        s: 1,
        g: 1,
        ..Default::default()
    };
    let code = kvm_segment {
        l: 1,
        ..segment(0x8, 0b1011)
    };
    let data = kvm_segment {
        db: 1,
        ..segment(0x10, 0b0011)
    };
    let mut sregs = vcpu.get_sregs().step("KVM_GET_SREGS")?;
    sregs.cs = code;
    (sregs.ss, sregs.ds, sregs.es) = (data, data, data);
    (sregs.fs, sregs.gs) = (data, data);
    // VT-x refuses to enter 64-bit mode with any other task register than a busy 64-bit TSS.
    sregs.tr = kvm_segment {
        limit: 0x67,
        type_: 0b1011,
        present: 1,
        ..Default::default()
    };
    sregs.cr0 = 0x8001_0033; // PG WP NE ET MP PE
    sregs.cr3 = PML4;
    sregs.cr4 = 0x20; // PAE
    sregs.efer = 0x500; // LMA LME
    vcpu.set_sregs(&sregs).step("KVM_SET_SREGS")?;
    vcpu.set_regs(&kvm_regs {
        rip: CODE,
        rflags: 0x2 | u64::from(dpl) << 12,
        ..Default::default()
    })
    .step("KVM_SET_REGS")
}
