//! The run loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use guest_payload::abi::{Control, PORT_CONTROL, PORT_HALT, PORT_HYPERCALL};
use kvm_bindings::{KVM_MP_STATE_HALTED, kvm_mp_state};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use vmm::boot::pvh_registers;
use vmm::cpu::lapic::{Effect, LocalApic};
use vmm::os::futex;
use vmm::pv::waker::kick_msi;

use crate::machine::VCPUS;

const HYPERCALL: u16 = PORT_HYPERCALL as u16;
const HALT: u16 = PORT_HALT as u16;
const CONTROL: u16 = PORT_CONTROL as u16;

/// A word for each vCPU: 0 while nothing came, then [`KICKED`] or [`STARTED`] and the vector.
const KICKED: u32 = 1;
const STARTED: u32 = 2;

/// What both loops reach.
#[derive(Debug)]
pub(crate) struct Shared {
    vm: Arc<VmFd>,
    words: [AtomicU32; VCPUS as usize],
}

impl Shared {
    /// Nothing has come yet.
    pub(crate) fn new(vm: Arc<VmFd>) -> Self {
        let words = Default::default();
        Self { vm, words }
    }

    fn post(&self, index: usize, value: u32) {
        self.words[index].store(value, SeqCst);
        futex::wake_one(&self.words[index]);
    }

    fn take(&self, index: usize) -> u32 {
        loop {
            match self.words[index].swap(0, SeqCst) {
                0 => futex::wait(&self.words[index], 0),
                value => return value,
            }
        }
    }
}

/// Each vCPU's APIC ID is its index, and it kicks nobody but the other.
fn other(index: usize) -> usize {
    1 - index
}

fn is_exit(data: &[u8]) -> bool {
    data != [Control::AllowUserHypercalls as u8]
}

/// KVM halts and unhalts; the kick, where it is ours, is an MSI.
pub(crate) fn with_kvm_halts(
    mut vcpu: VcpuFd,
    index: usize,
    shared: &Shared,
) -> Result<(), kvm_ioctls::Error> {
    let msi = kick_msi(if index == 0 { 1 } else { 0 });
    loop {
        match vcpu.run() {
            Ok(VcpuExit::IoOut(HYPERCALL, _)) => {
                shared.vm.signal_msi(msi)?;
            }
            Ok(VcpuExit::IoOut(HALT, _)) => vcpu.set_mp_state(kvm_mp_state {
                mp_state: KVM_MP_STATE_HALTED,
            })?,
            Ok(VcpuExit::IoOut(CONTROL, data)) if is_exit(data) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.errno() == libc::EAGAIN => {}
            Err(error) => return Err(error),
        }
    }
}

/// The loop halts in a futex. The local APIC starts the target and does nothing while it is timed.
pub(crate) fn with_own_halts(
    mut vcpu: VcpuFd,
    index: usize,
    shared: &Shared,
) -> Result<(), kvm_ioctls::Error> {
    let mut lapic = LocalApic::new(if index == 0 { 0 } else { 1 }, index == 0);
    if index != 0 {
        let vector = loop {
            let word = shared.take(index);
            if word & STARTED != 0 {
                break (word >> 8).to_le_bytes()[0];
            }
        };
        let mut sregs = vcpu.get_sregs()?;
        pvh_registers::set_sipi_sregs(&mut sregs, vector);
        vcpu.set_sregs(&sregs)?;
        vcpu.set_regs(&pvh_registers::sipi_regs(0))?;
    }
    let mut is_started = false;
    loop {
        let effect = match vcpu.run()? {
            VcpuExit::IoOut(HYPERCALL, _) => {
                shared.post(other(index), KICKED);
                None
            }
            VcpuExit::IoOut(HALT, _) | VcpuExit::Hlt => {
                shared.take(index);
                None
            }
            VcpuExit::IoOut(CONTROL, data) if is_exit(data) => return Ok(()),
            VcpuExit::MmioRead(address, data) => {
                lapic.mmio_read(address, data);
                None
            }
            VcpuExit::MmioWrite(address, data) => lapic.mmio_write(address, data),
            VcpuExit::X86Rdmsr(msr) => {
                match lapic.msr_read(msr.index) {
                    Some(value) => *msr.data = value,
                    None => *msr.error = 1,
                }
                None
            }
            VcpuExit::X86Wrmsr(msr) => lapic.msr_write(msr.index, msr.data).unwrap_or_else(|_| {
                *msr.error = 1;
                None
            }),
            _ => None,
        };
        if let Some(Effect::Sipi(_, vector)) = effect
            && !is_started
        {
            is_started = true;
            shared.post(other(index), STARTED | u32::from(vector) << 8);
        }
    }
}
