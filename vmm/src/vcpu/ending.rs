//! How a machine comes to its end from inside.

use guest_payload::abi::Control;
use kvm_bindings::{kvm_regs, kvm_sregs};

use crate::pv::apic_id::VcpuIndex;
use crate::report::crash::CrashReason;

/// How a machine comes to its end from inside.
#[derive(Debug)]
pub enum Ending {
    /// The payload says it is done.
    Exit(Control),
    /// The guest asked for a reset.
    Reset,
    /// The guest switched itself off.
    PowerOff,
    /// The guest wrote this value to the debug-exit port.
    DebugExit(u32),
    /// A vCPU cannot go on: triple fault or an exit nobody can serve.
    Crashed(Crash),
    /// The API was asked to stop the machine.
    Stopped,
    /// The machine runs in another process from now on.
    Left,
    /// An ioctl failed that must not.
    Failed(VcpuIndex, std::io::Error),
}

/// A vCPU that cannot go on.
#[derive(Debug)]
pub struct Crash {
    /// The vCPU.
    pub vcpu: VcpuIndex,
    /// Its APIC ID.
    pub apic_id: u32,
    /// Why, for a person.
    pub reason: CrashReason,
    /// Its registers, where KVM gives them.
    pub registers: Option<Box<(kvm_regs, kvm_sregs)>>,
    /// The instruction KVM could not emulate, where it says so.
    pub instruction_bytes: Vec<u8>,
}

impl Ending {
    /// A crash whose registers the vCPU's thread adds.
    pub fn crashed(vcpu: VcpuIndex, apic_id: u32, reason: CrashReason) -> Self {
        let (registers, instruction_bytes) = (None, Vec::new());
        Self::Crashed(Crash {
            vcpu,
            apic_id,
            reason,
            registers,
            instruction_bytes,
        })
    }
}
