//! The capabilities that a VM needs turned on.

use kvm_bindings::{
    KVM_CAP_HALT_POLL, KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_X86_DISABLE_EXITS,
    KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER, KVM_MSR_EXIT_REASON_INVAL,
    KVM_MSR_EXIT_REASON_UNKNOWN, KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
    KVM_X2APIC_API_USE_32BIT_IDS, kvm_enable_cap,
};
use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VmFd};

use super::Error;
use crate::cpu::lapic;
use crate::pv::HaltIn;

fn enable(vm: &VmFd, cap: u32, argument: u64, what: &'static str) -> Result<(), Error> {
    let mut request = kvm_enable_cap {
        cap,
        ..kvm_enable_cap::default()
    };
    request.args[0] = argument;
    vm.enable_cap(&request).map_err(|e| Error::Ioctl(what, e))
}

/// What the machine needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Where halted vCPUs wait.
    pub(super) halt_in: HaltIn,
    /// `KVM_CAP_HALT_POLL`; KVM's own default if not given.
    pub(super) halt_poll_ns: Option<u32>,
    /// The bits of `KVM_CAP_X86_DISABLE_EXITS`.
    pub(super) disabled_exits: u64,
}

/// Turns on what is `wanted`, before the first vCPU. `wide_ids`: some APIC ID needs more than 8
/// bits.
///
/// # Errors
/// [`Error::Ioctl`], [`Error::Missing`].
pub(super) fn enable_all(vm: &VmFd, wanted: &Wanted, wide_ids: bool) -> Result<(), Error> {
    // Where a VMX host runs real mode as virtual-8086, KVM needs three pages of ours.
    const TSS_ADDRESS: usize = 0xfffb_d000;
    vm.set_tss_address(TSS_ADDRESS)
        .map_err(|e| Error::Ioctl("KVM_SET_TSS_ADDR", e))?;
    match wanted.halt_in {
        HaltIn::Kvm => {
            const IOAPIC_PINS: u64 = 24;
            enable(
                vm,
                KVM_CAP_SPLIT_IRQCHIP,
                IOAPIC_PINS,
                "KVM_CAP_SPLIT_IRQCHIP",
            )?;
            let quirk = if wide_ids {
                KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK
            } else {
                0
            };
            let flags = u64::from(KVM_X2APIC_API_USE_32BIT_IDS | quirk);
            enable(vm, KVM_CAP_X2APIC_API, flags, "KVM_CAP_X2APIC_API")?;
        }
        HaltIn::Vmm => {
            let reasons = KVM_MSR_EXIT_REASON_UNKNOWN
                | KVM_MSR_EXIT_REASON_INVAL
                | KVM_MSR_EXIT_REASON_FILTER;
            enable(
                vm,
                KVM_CAP_X86_USER_SPACE_MSR,
                reasons.into(),
                "KVM_CAP_X86_USER_SPACE_MSR",
            )?;
            // The mode of our local APIC is ours: without this KVM keeps IA32_APIC_BASE.
            let apic_base = MsrFilterRange {
                flags: MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE,
                base: lapic::MSR_APIC_BASE,
                msr_count: 1,
                bitmap: &[0],
            };
            vm.set_msr_filter(MsrFilterDefaultAction::ALLOW, &[apic_base])
                .map_err(|e| Error::Ioctl("KVM_X86_SET_MSR_FILTER", e))?;
        }
    }
    if let Some(ns) = wanted.halt_poll_ns {
        enable(
            vm,
            KVM_CAP_HALT_POLL,
            ns.into(),
            "KVM_CAP_HALT_POLL (--halt-poll-ns)",
        )?;
    }
    let exits = wanted.disabled_exits;
    if exits != 0 {
        let can = vm.check_extension_raw(KVM_CAP_X86_DISABLE_EXITS.into());
        if u64::try_from(can).unwrap_or(0) & exits != exits {
            return Err(Error::Missing(
                "an exit of --disable-exits (KVM_CAP_X86_DISABLE_EXITS); see `vmm doctor`",
            ));
        }
        enable(
            vm,
            KVM_CAP_X86_DISABLE_EXITS,
            exits,
            "KVM_CAP_X86_DISABLE_EXITS",
        )?;
    }
    Ok(())
}
