//! Single instructions.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

/// `cpuid`
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    __cpuid_count(leaf, subleaf)
}

/// `rdtsc`: not serialising, monotonic on one CPU.
#[inline(always)]
pub(crate) fn rdtsc() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC, and CR4.TSD is 0.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The TSC, read after every load before it: what `rdtsc_ordered` is in Linux.
#[inline(always)]
pub(crate) fn rdtsc_ordered() -> u64 {
    // SAFETY: every x86-64 CPU has LFENCE. Without `nomem`, because what comes before has to be done.
    unsafe { asm!("lfence", options(nostack, preserves_flags)) };
    rdtsc()
}

/// `pause`
#[inline(always)]
pub(crate) fn pause() {
    core::hint::spin_loop();
}

/// `out`, one byte.
#[inline(always)]
pub(crate) fn outb(port: u16, value: u8) {
    // SAFETY: port output does not touch our memory; at CPL 3 we have IOPL 3.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags));
    }
}

/// `out`, four bytes.
#[inline(always)]
pub(crate) fn outl(port: u16, value: u32) {
    // SAFETY: as for `outb`.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags));
    }
}

/// `in`, four bytes.
#[inline(always)]
pub(crate) fn inl(port: u16) -> u32 {
    let value;
    // SAFETY: as for `outb`.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// `rdmsr`. CPL 0 only.
pub(crate) fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: callers name MSRs that exist where they call.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// `wrmsr`. CPL 0 only.
pub(crate) fn wrmsr(msr: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: callers name MSRs that exist where they call, with values that keep this code running.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") low, in("edx") high, options(nostack, preserves_flags));
    }
}

/// `hlt`. CPL 0 only.
pub(crate) fn hlt() {
    // SAFETY: halting changes no state of ours.
    unsafe { asm!("hlt", options(nostack, preserves_flags)) };
}

/// Spends `iterations` turns of an empty loop.
#[inline(always)]
pub(crate) fn delay(iterations: u32) {
    if iterations == 0 {
        return;
    }
    // SAFETY: counts a register down.
    unsafe {
        asm!("2: dec {0:e}", "jnz 2b", inout(reg) iterations => _, options(nomem, nostack));
    }
}
