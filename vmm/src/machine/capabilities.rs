//! The capabilities that a VM needs turned on.

use guest_payload::abi::xen::MSR_HYPERCALL_PAGE;
use kvm_bindings::{
    KVM_CAP_HALT_POLL, KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_X86_DISABLE_EXITS,
    KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER, KVM_MSR_EXIT_REASON_INVAL,
    KVM_MSR_EXIT_REASON_UNKNOWN, KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
    KVM_X2APIC_API_USE_32BIT_IDS, kvm_enable_cap,
};
use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VmFd};

use super::{Error, irqchip};
use crate::boot::Platform;
use crate::cpu::lapic;
use crate::pv::HaltIn;
use crate::spec::{DisabledExit, Interface};

fn enable(vm: &VmFd, cap: u32, argument: u64, what: &'static str) -> Result<(), Error> {
    let mut request = kvm_enable_cap {
        cap,
        ..kvm_enable_cap::default()
    };
    request.args[0] = argument;
    vm.enable_cap(&request).map_err(|e| Error::Ioctl(what, e))
}

/// The local APICs alone: closing a VM that has PIC and PIT takes tens of milliseconds.
fn split_irqchip(vm: &VmFd) -> Result<(), Error> {
    const IOAPIC_PINS: u64 = 24;
    enable(
        vm,
        KVM_CAP_SPLIT_IRQCHIP,
        IOAPIC_PINS,
        "KVM_CAP_SPLIT_IRQCHIP",
    )
}

/// What the machine needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// What there is beside the vCPUs.
    pub(super) platform: Platform,
    /// Where halted vCPUs wait.
    pub(super) halt_in: HaltIn,
    /// `KVM_CAP_HALT_POLL`; KVM's own default if not given.
    pub(super) halt_poll_ns: Option<u32>,
    /// The bits of `KVM_CAP_X86_DISABLE_EXITS`.
    pub(super) disabled_exits: u64,
    /// What becomes of the hardware's PLE.
    pub(super) hardware_ple: HardwareGets,
    /// Whether the guest finds Xen's interface.
    pub(super) interface: Interface,
}

/// What becomes of the hardware's pause-loop exiting in a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HardwareGets {
    /// As the host has it.
    AsItIs,
    /// Off, if KVM can. Where it does not act anyway, nothing hangs on it.
    OffIfItCan,
    /// Off, or there is no VM.
    Off,
}

/// The exits that are switched off, of which KVM `can` switch off some.
fn exits_off(wanted: &Wanted, can: u64) -> Result<u64, Error> {
    let exits = wanted.disabled_exits;
    if can & exits != exits {
        return Err(Error::Missing(
            "an exit of --disable-exits (KVM_CAP_X86_DISABLE_EXITS); see `vmm doctor`",
        ));
    }
    let pause = DisabledExit::Pause.bit();
    match wanted.hardware_ple {
        HardwareGets::Off if can & pause == 0 => Err(Error::Missing(
            "switching the hardware's PLE off for one VM (PAUSE in KVM_CAP_X86_DISABLE_EXITS), \
             which --ple off and soft need; load KVM with ple_gap=0 or pause_filter_count=0",
        )),
        HardwareGets::AsItIs => Ok(exits),
        HardwareGets::Off | HardwareGets::OffIfItCan => Ok(exits | can & pause),
    }
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
            match wanted.platform {
                Platform::Pc => irqchip::create(vm)?,
                Platform::Bare => split_irqchip(vm)?,
            }
            let quirk = if wide_ids {
                KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK
            } else {
                0
            };
            let flags = u64::from(KVM_X2APIC_API_USE_32BIT_IDS | quirk);
            enable(vm, KVM_CAP_X2APIC_API, flags, "KVM_CAP_X2APIC_API")?;
        }
        HaltIn::Vmm => {}
    }
    send_msrs_to_us(vm, wanted)?;
    if let Some(ns) = wanted.halt_poll_ns {
        enable(
            vm,
            KVM_CAP_HALT_POLL,
            ns.into(),
            "KVM_CAP_HALT_POLL (--halt-poll-ns)",
        )?;
    }
    let can = vm.check_extension_raw(KVM_CAP_X86_DISABLE_EXITS.into());
    let exits = exits_off(wanted, u64::try_from(can).unwrap_or(0))?;
    if exits != 0 {
        enable(
            vm,
            KVM_CAP_X86_DISABLE_EXITS,
            exits,
            "KVM_CAP_X86_DISABLE_EXITS",
        )?;
    }
    Ok(())
}

/// Has the MSRs that are ours come to us: under `--halt vmm` those of our own local APIC, under
/// `--xen` the one of the hypercall page.
fn send_msrs_to_us(vm: &VmFd, wanted: &Wanted) -> Result<(), Error> {
    let mut reasons = 0;
    let mut filtered = Vec::new();
    if wanted.halt_in == HaltIn::Vmm {
        reasons |= KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL;
        // The mode of our local APIC is ours: without this KVM keeps IA32_APIC_BASE.
        filtered.push(lapic::MSR_APIC_BASE);
    }
    if wanted.interface == Interface::Xen {
        // To KVM it is one of Hyper-V's.
        filtered.push(MSR_HYPERCALL_PAGE);
    }
    if filtered.is_empty() {
        return Ok(());
    }
    enable(
        vm,
        KVM_CAP_X86_USER_SPACE_MSR,
        (reasons | KVM_MSR_EXIT_REASON_FILTER).into(),
        "KVM_CAP_X86_USER_SPACE_MSR",
    )?;
    let ranges: Vec<_> = filtered
        .into_iter()
        .map(|base| MsrFilterRange {
            flags: MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE,
            base,
            msr_count: 1,
            bitmap: &[0],
        })
        .collect();
    vm.set_msr_filter(MsrFilterDefaultAction::ALLOW, &ranges)
        .map_err(|e| Error::Ioctl("KVM_X86_SET_MSR_FILTER", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HLT: u64 = 1 << 1;
    const PAUSE: u64 = 1 << 2;

    fn off(disabled_exits: u64, hardware_ple: HardwareGets, can: u64) -> Option<u64> {
        let wanted = Wanted {
            platform: Platform::Bare,
            halt_in: HaltIn::Vmm,
            halt_poll_ns: None,
            disabled_exits,
            hardware_ple,
            interface: Interface::Kvm,
        };
        exits_off(&wanted, can).ok()
    }

    #[test]
    fn the_hardwares_ple_goes_off_where_it_acts_or_there_is_no_vm() {
        for (asked, hardware, can, exits, why) in [
            (0, HardwareGets::AsItIs, PAUSE, Some(0), "nobody asked"),
            (0, HardwareGets::Off, HLT | PAUSE, Some(PAUSE), "it can"),
            (0, HardwareGets::Off, HLT, None, "both would act"),
            (
                0,
                HardwareGets::OffIfItCan,
                HLT,
                Some(0),
                "there is none to switch off",
            ),
            (
                HLT,
                HardwareGets::Off,
                HLT | PAUSE,
                Some(HLT | PAUSE),
                "with what else was asked",
            ),
            (
                HLT,
                HardwareGets::AsItIs,
                PAUSE,
                None,
                "--disable-exits is refused",
            ),
        ] {
            assert_eq!(off(asked, hardware, can), exits, "{why}");
        }
    }
}
