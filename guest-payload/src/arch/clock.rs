//! The TSC's frequency, from what the hypervisor or the CPU says, and kvmclock.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use guest_payload::abi::{
    CPUID_FEATURES, CPUID_SIGNATURE, FEATURE_CLOCKSOURCE2, MSR_KVM_SYSTEM_TIME_NEW,
};
use guest_payload::clocks::PvClock;

use super::instr::{cpuid, rdtsc, wrmsr};

/// ns = cycles * NS_PER_CYCLE_Q32 >> 32; 0 while unknown.
static NS_PER_CYCLE_Q32: AtomicU64 = AtomicU64::new(0);

/// The first of a hypervisor's leaves: a host may show several hypervisors, 0x100 apart.
pub(crate) fn hypervisor_base(signature: [u32; 3]) -> Option<u32> {
    const STEP: u32 = 0x100;
    let mut base = CPUID_SIGNATURE;
    loop {
        let leaf = cpuid(base, 0);
        if [leaf.ebx, leaf.ecx, leaf.edx] == signature {
            return Some(base);
        }
        // EAX is the highest leaf of who is here.
        if !(base..base + STEP).contains(&leaf.eax) {
            return None;
        }
        base += STEP;
    }
}

fn kvm_base() -> Option<u32> {
    hypervisor_base([*b"KVMK", *b"VMKV", *b"M\0\0\0"].map(u32::from_le_bytes))
}

/// KVM's feature bits, 0 where there is no KVM interface.
pub(crate) fn kvm_features() -> (u32, u32) {
    let Some(base) = kvm_base() else {
        return (0, 0);
    };
    let features = cpuid(base + (CPUID_FEATURES - CPUID_SIGNATURE), 0);
    (features.eax, features.edx)
}

/// Whether there is a kvmclock.
pub(crate) fn has_kvmclock() -> bool {
    kvm_features().0 & FEATURE_CLOCKSOURCE2 != 0
}

/// Has KVM write this CPU's time to `page`, from now on.
pub(crate) fn start_kvmclock(page: &'static PvClock) {
    const ENABLE: u64 = 1;
    wrmsr(
        MSR_KVM_SYSTEM_TIME_NEW,
        core::ptr::from_ref(page) as u64 | ENABLE,
    );
}

/// Takes the page back.
fn stop_kvmclock() {
    wrmsr(MSR_KVM_SYSTEM_TIME_NEW, 0);
}

fn khz_from_kvmclock() -> Option<u64> {
    static PAGE: PvClock = PvClock::new();
    if !has_kvmclock() {
        return None;
    }
    start_kvmclock(&PAGE);
    let multiplier = u64::from(PAGE.tsc_to_system_mul.load(Relaxed));
    let shift = PAGE.tsc_shift.load(Relaxed).cast_signed();
    // Nobody reads it any more.
    stop_kvmclock();
    if multiplier == 0 {
        return None;
    }
    let khz = (1_000_000_u64 << 32) / multiplier;
    Some(if shift < 0 {
        khz << -shift
    } else {
        khz >> shift
    })
}

fn khz_from_cpuid() -> Option<u64> {
    // VMware defined the leaf, KVM and QEMU have it too.
    let base = kvm_base().unwrap_or(CPUID_SIGNATURE);
    if cpuid(base, 0).eax >= base + 0x10 {
        let khz = cpuid(base + 0x10, 0).eax;
        if khz != 0 {
            return Some(u64::from(khz));
        }
    }
    let last = cpuid(0, 0).eax;
    if last >= 0x15 {
        let ratio = cpuid(0x15, 0);
        if ratio.eax != 0 && ratio.ebx != 0 && ratio.ecx != 0 {
            return Some(u64::from(ratio.ecx) * u64::from(ratio.ebx) / u64::from(ratio.eax) / 1000);
        }
    }
    if last >= 0x16 {
        let mhz = cpuid(0x16, 0).eax & 0xffff;
        if mhz != 0 {
            return Some(u64::from(mhz) * 1000);
        }
    }
    None
}

/// Finds the frequency in kHz.
pub(crate) fn calibrate() -> Option<u64> {
    let khz = khz_from_kvmclock().or_else(khz_from_cpuid)?;
    NS_PER_CYCLE_Q32.store((1_000_000_u64 << 32) / khz, Relaxed);
    Some(khz)
}

/// `cycles` of the TSC in ns.
pub(crate) fn cycles_to_ns(cycles: u64) -> u64 {
    ((u128::from(cycles) * u128::from(NS_PER_CYCLE_Q32.load(Relaxed))) >> 32) as u64
}

/// Now, in ns of the TSC.
pub(crate) fn now_ns() -> u64 {
    cycles_to_ns(rdtsc())
}
