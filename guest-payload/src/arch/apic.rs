//! The local APIC, by MMIO (xAPIC) or MSRs (x2APIC): enough to start CPUs (SDM vol. 3, ch. 11).

use super::instr::{cpuid, rdmsr, wrmsr};

const MSR_APIC_BASE: u32 = 0x1b;
const APIC_BASE_ENABLE: u64 = 1 << 11;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const MSR_X2APIC: u32 = 0x800;
const SVR: u32 = 0xf0;
const ICR_LOW: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;
const SVR_ENABLE: u32 = 1 << 8;
const SPURIOUS_VECTOR: u32 = 0xff;
const ICR_INIT: u32 = 0x4500;
const ICR_STARTUP: u32 = 0x4600;

/// How the local APIC is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Memory mapped, 8-bit IDs.
    XApic,
    /// MSRs, 32-bit IDs.
    X2Apic,
}

/// Whether CPUID offers x2APIC.
pub(crate) fn has_x2apic() -> bool {
    cpuid(1, 0).ecx & 1 << 21 != 0
}

/// This CPU's APIC ID from CPUID: leaf 0xB where it is there, else the 8 bits of leaf 1.
pub(crate) fn id_from_cpuid() -> u32 {
    if cpuid(0, 0).eax >= 0xb {
        let extended = cpuid(0xb, 0);
        if extended.ebx != 0 {
            return extended.edx;
        }
    }
    cpuid(1, 0).ebx >> 24
}

fn write(mode: Mode, register: u32, value: u32) {
    match mode {
        Mode::X2Apic => wrmsr(MSR_X2APIC + (register >> 4), u64::from(value)),
        Mode::XApic => {
            let base = rdmsr(MSR_APIC_BASE) & 0xf_ffff_f000;
            let address = (base + u64::from(register)) as usize as *mut u32;
            // SAFETY: the local APIC's page, mapped in the last GiB of the identity map.
            unsafe { address.write_volatile(value) };
        }
    }
}

/// Software-enables this CPU's local APIC in `mode`.
pub(crate) fn enable(mode: Mode) {
    let base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
    if mode == Mode::X2Apic {
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
    }
    write(mode, SVR, SVR_ENABLE | SPURIOUS_VECTOR);
}

/// Software-disables this CPU's local APIC.
pub(crate) fn disable(mode: Mode) {
    write(mode, SVR, SPURIOUS_VECTOR);
}

fn command(mode: Mode, destination: u32, command: u32) {
    match mode {
        Mode::X2Apic => wrmsr(
            MSR_X2APIC + (ICR_LOW >> 4),
            u64::from(destination) << 32 | u64::from(command),
        ),
        Mode::XApic => {
            write(mode, ICR_HIGH, destination << 24);
            write(mode, ICR_LOW, command);
        }
    }
}

/// Starts the CPU with this APIC ID at `page << 12` in real mode, by INIT and SIPI.
pub(crate) fn start_cpu(mode: Mode, apic_id: u32, page: u8) {
    command(mode, apic_id, ICR_INIT);
    command(mode, apic_id, ICR_STARTUP | u32::from(page));
}
