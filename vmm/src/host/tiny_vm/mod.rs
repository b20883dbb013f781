//! A VM of a few pages that runs a few instructions in 64-bit mode and always ends.
//!
//! No answer depends on how busy the host is. "It blocks" is read from the vCPU's MP_STATE, "it
//! never ends" is measured in CPU time that the thread itself used; a timer only interrupts
//! `KVM_RUN` so that somebody can look.

mod exit;
mod vcpu;

use std::sync::Arc;

use kvm_bindings::{CpuId, KVM_MEM_LOG_DIRTY_PAGES, kvm_enable_cap, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VmFd};
use vm_memory::VolatileMemory;
use vm_memory::mmap::MmapRegion;

use super::HostError;
use super::error::Step;
use crate::pv::waker::kick_msi;

pub use exit::Exit;
pub use vcpu::{LOOK_EVERY, MSR_ANSWER, TinyVcpu};

/// Guest address of the first instruction.
pub const CODE: u64 = 0x3000;
/// Guest address of a page that nothing else uses.
pub const DATA: u32 = 0x4000;
const MEMORY: usize = 0x5000;

const PML4: u64 = 0;
const PDPT: u64 = 0x1000;
const PD: u64 = 0x2000;
/// Present, writable, and open to CPL 3.
const TABLE: u64 = 0b111;
const LARGE: u64 = 1 << 7;

/// The privilege that the code runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// CPL 0.
    Kernel,
    /// CPL 3 with IOPL 3, so that port I/O is allowed.
    User,
}

/// Who has the local APICs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapic {
    /// Nobody.
    None,
    /// KVM (split irqchip).
    InKernel,
}

/// A VM with its code loaded; its vCPUs are [`TinyVcpu`]s.
#[derive(Debug)]
pub struct TinyVm {
    fd: VmFd,
    memory: Arc<MmapRegion>,
}

impl TinyVm {
    /// Makes a VM that will run `code` from [`CODE`].
    ///
    /// # Errors
    /// Names the step that failed.
    pub fn new(kvm: &Kvm, lapic: Lapic, code: &[u8]) -> Result<Self, HostError> {
        let fd = kvm.create_vm().step("KVM_CREATE_VM")?;
        let memory = MmapRegion::new(MEMORY)
            .map_err(|e| HostError::Unexpected(format!("memory of a tiny VM: {e}")))?;
        let vm = Self {
            fd,
            memory: Arc::new(memory),
        };
        vm.write(PML4, &(PDPT | TABLE).to_le_bytes())?;
        vm.write(PDPT, &(PD | TABLE).to_le_bytes())?;
        vm.write(PD, &(TABLE | LARGE).to_le_bytes())?;
        vm.write(CODE, code)?;
        // Before the irqchip: after it, the same call takes many times longer.
        vm.set_memory(0)?;
        if lapic == Lapic::InKernel {
            vm.enable(kvm_bindings::KVM_CAP_SPLIT_IRQCHIP, 24)
                .step("KVM_CAP_SPLIT_IRQCHIP")?;
        }
        Ok(vm)
    }

    /// The VM itself, for the ioctl that an experiment is about.
    #[must_use]
    pub fn fd(&self) -> &VmFd {
        &self.fd
    }

    /// Turns a capability on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn enable(&self, cap: u32, arg: u64) -> Result<(), kvm_ioctls::Error> {
        self.fd.enable_cap(&kvm_enable_cap {
            cap,
            args: [arg, 0, 0, 0],
            ..Default::default()
        })
    }

    /// Has KVM log the pages that the guest writes.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn log_dirty_pages(&self) -> Result<(), HostError> {
        self.set_memory(KVM_MEM_LOG_DIRTY_PAGES)
    }

    /// Bytes of guest memory, all in slot 0.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        self.memory.size()
    }

    /// Adds a vCPU that will start at [`CODE`].
    ///
    /// # Errors
    /// Names the step that failed.
    pub fn add_vcpu(
        &self,
        id: u64,
        ring: Ring,
        cpuid: Option<&CpuId>,
    ) -> Result<TinyVcpu, HostError> {
        let fd = self.fd.create_vcpu(id).step("KVM_CREATE_VCPU")?;
        TinyVcpu::new(id, fd, Arc::clone(&self.memory), ring, cpuid)
    }

    /// Kicks an APIC ID with a remote-read MSI; says how many vCPUs took it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kick(&self, apic_id: u32) -> Result<u32, HostError> {
        let taken = self
            .fd
            .signal_msi(kick_msi(apic_id))
            .step("KVM_SIGNAL_MSI")?;
        Ok(u32::try_from(taken).unwrap_or(0))
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        usize::try_from(at)
            .ok()
            .and_then(|at| self.memory.get_slice(at, bytes.len()).ok())
            .map(|slice| slice.copy_from(bytes))
            .ok_or_else(|| HostError::Unexpected(format!("{at:#x} is outside a tiny VM")))
    }

    fn set_memory(&self, flags: u32) -> Result<(), HostError> {
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags,
            guest_phys_addr: 0,
            memory_size: self.memory.size() as u64,
            userspace_addr: self.memory.as_ptr() as u64,
        };
        // SAFETY: the mapping is of this size and lives as long as the VM and each of its vCPUs,
        // which all hold it; it is reached by volatile access only.
        unsafe { self.fd.set_user_memory_region(region) }.step("KVM_SET_USER_MEMORY_REGION")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::host::code::{Op, assemble};
    use crate::host::open_kvm;

    const CPU_TIME: Duration = Duration::from_millis(5);

    fn run(lapic: Lapic, ring: Ring, ops: &[Op]) -> Exit {
        let vm = TinyVm::new(&open_kvm().unwrap(), lapic, &assemble(ops)).unwrap();
        let mut vcpu = vm.add_vcpu(0, ring, None).unwrap();
        vcpu.run(CPU_TIME).unwrap()
    }

    #[test]
    fn both_rings_run_up_to_their_out() {
        for ring in [Ring::Kernel, Ring::User] {
            assert_eq!(run(Lapic::None, ring, &[Op::Out(7)]), Exit::out(7));
        }
    }

    #[test]
    fn a_loop_that_outlasts_its_cpu_time_is_unfinished() {
        let four_billion_turns = [Op::Ecx(0), Op::Loop { body: 0 }, Op::Out(7)];
        for ring in [Ring::Kernel, Ring::User] {
            let exit = run(Lapic::InKernel, ring, &four_billion_turns);
            assert_eq!(exit, Exit::Unfinished);
        }
    }

    #[test]
    fn a_halt_that_nobody_ends_is_waiting_and_not_unfinished() {
        let exit = run(Lapic::InKernel, Ring::Kernel, &[Op::Hlt, Op::Out(7)]);
        let mp_state = kvm_bindings::KVM_MP_STATE_HALTED;
        assert_eq!(exit, Exit::Waiting { mp_state });
    }

    #[test]
    fn an_exception_is_a_shutdown() {
        assert_eq!(run(Lapic::None, Ring::User, &[Op::Hlt]), Exit::Shutdown);
    }

    #[test]
    fn a_kick_reaches_no_id_that_nobody_has() {
        let vm = TinyVm::new(&open_kvm().unwrap(), Lapic::InKernel, &[]).unwrap();
        let vcpu = vm.add_vcpu(0, Ring::Kernel, None).unwrap();
        vcpu.enable_lapic().unwrap();
        assert_eq!(vm.kick(0).unwrap(), 1);
        assert_eq!(vm.kick(9).unwrap(), 0);
    }
}
