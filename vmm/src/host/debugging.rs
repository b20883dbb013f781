//! How far KVM lets a VMM debug its guest here.
//!
//! Where CPL 3 runs on the host's own CPU without a processor mode for guests (PVM), debug
//! registers and exceptions are the guest's alone there; and an emulator need not look at
//! watchpoints.

use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_USE_HW_BP, kvm_guest_debug, kvm_guest_debug_arch,
};
use kvm_ioctls::Kvm;

use super::HostError;
use super::check::CPU_TIME;
use super::code::{Op, assemble};
use super::tiny_vm::{CODE, DATA, Exit, Lapic, Ring, TinyVm};

const PORT: u8 = 0x82;
const ENABLE_DR0: u64 = 0b10;
/// R/W0 = write, LEN0 = 1 byte.
const WRITE_DR0: u64 = 0b01 << 16;
/// What happens at a breakpoint in CPL 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtCpl3 {
    /// The vCPU stops.
    Stops,
    /// Nothing, or the guest gets the exception. Only an access to a port stops the vCPU.
    Ignored,
}

/// What happens at a watchpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// The vCPU stops.
    Stops,
    /// Nothing.
    Ignored,
}

/// What this host can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debugging {
    /// Breakpoints at CPL 3.
    pub at_cpl3: AtCpl3,
    /// Watchpoints at CPL 0.
    pub watching: Watching,
}

impl Debugging {
    /// Finds out.
    ///
    /// # Errors
    /// Where the VMs for it cannot be made or run.
    pub fn try_it(kvm: &Kvm) -> Result<Self, HostError> {
        // Not at the port access: where CPL 3 is not emulated, that still is.
        let plain = assemble(&[Op::Eax(1), Op::Out(PORT)]);
        let stops = stops(kvm, Ring::User, &plain, CODE, 0)?;
        let store = assemble(&[Op::Store(DATA), Op::Out(PORT)]);
        let watches = stops_at_write(kvm, &store)?;
        Ok(Self {
            at_cpl3: if stops {
                AtCpl3::Stops
            } else {
                AtCpl3::Ignored
            },
            watching: if watches {
                Watching::Stops
            } else {
                Watching::Ignored
            },
        })
    }
}

fn stops_at_write(kvm: &Kvm, code: &[u8]) -> Result<bool, HostError> {
    stops(kvm, Ring::Kernel, code, DATA.into(), WRITE_DR0)
}

/// Whether `code` is stopped by DR0 = `address` with these bits of DR7 before it comes to its port.
fn stops(kvm: &Kvm, ring: Ring, code: &[u8], address: u64, dr7: u64) -> Result<bool, HostError> {
    let vm = TinyVm::new(kvm, Lapic::InKernel, code)?;
    let mut vcpu = vm.add_vcpu(0, ring, None)?;
    vcpu.debug(&kvm_guest_debug {
        control: KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
        arch: kvm_guest_debug_arch {
            debugreg: [address, 0, 0, 0, 0, 0, 0, ENABLE_DR0 | dr7],
        },
        ..kvm_guest_debug::default()
    })?;
    match vcpu.run(CPU_TIME)? {
        Exit::Debug { .. } => Ok(true),
        Exit::Out { .. } => Ok(false),
        other => Err(HostError::Unexpected(format!("a breakpoint: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Kind, open_kvm};

    #[test]
    fn a_host_with_a_mode_for_guests_stops_everywhere() {
        let found = Debugging::try_it(&open_kvm().unwrap()).unwrap();
        let hardware = Debugging {
            at_cpl3: AtCpl3::Stops,
            watching: Watching::Stops,
        };
        let emulated = Debugging {
            at_cpl3: AtCpl3::Ignored,
            watching: Watching::Ignored,
        };
        match Kind::detect() {
            Kind::Vmx | Kind::Svm => assert_eq!(found, hardware),
            Kind::Pvm => assert_eq!(found, emulated),
            Kind::Unknown => {}
        }
    }
}
