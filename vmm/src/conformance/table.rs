//! The cases, their machines, and where KVM does what they look for.

use guest_payload::conformance::Case;

use super::setting::Setting;

/// A row of the table. What is expected, in the guest's words, is [`Case::expected`].
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// The machine for it.
    pub setting: Setting,
    /// What KVM does, for a person.
    pub rule: &'static str,
    /// The function of Linux that says so, in arch/x86/kvm.
    pub source: &'static str,
}

const fn row(case: Case, setting: Setting, rule: &'static str, source: &'static str) -> Row {
    Row {
        case,
        setting,
        rule,
        source,
    }
}

const HYPERCALL: &str = "x86.c, kvm_emulate_hypercall";
const KICK: &str = "x86.c, kvm_pv_kick_cpu_op";
const ACCEPT: &str = "lapic.c, __apic_accept_irq";
const BLOCK: &str = "x86.c, vcpu_block";

/// All rows, in the order of [`Case::ALL`].
pub const TABLE: &[Row] = &[
    row(
        Case::KickBeforeSipi,
        Setting::Usual,
        "kicks to a CPU that waits for SIPI are answered with 0, cost next to nothing, and the CPU \
         starts as ever",
        "x86.c, kvm_arch_vcpu_ioctl_run",
    ),
    row(
        Case::KnownId,
        Setting::Usual,
        "a CPU halted with interrupts off sleeps until it is kicked",
        KICK,
    ),
    row(
        Case::UnknownId,
        Setting::Usual,
        "a kick for an APIC ID that nobody has is answered with 0 and wakes nobody",
        KICK,
    ),
    row(
        Case::Cpl3,
        Setting::Usual,
        "a hypercall from CPL 3 is answered with -EPERM and does nothing",
        HYPERCALL,
    ),
    row(
        Case::UnknownNumber,
        Setting::Usual,
        "a number that is no hypercall is answered with -KVM_ENOSYS",
        HYPERCALL,
    ),
    row(
        Case::PollIrq,
        Setting::Usual,
        "KVM_HC_VAPIC_POLL_IRQ (1) is answered with 0",
        HYPERCALL,
    ),
    row(
        Case::HighBitsOfNumber,
        Setting::Usual,
        "in 64-bit mode all of RAX is the number",
        HYPERCALL,
    ),
    row(
        Case::HighBitsOfA1,
        Setting::Usual,
        "the APIC ID is an int: the high half of RCX is dropped",
        KICK,
    ),
    row(
        Case::Flags,
        Setting::Usual,
        "RBX, the flags, is unused",
        KICK,
    ),
    row(
        Case::Broadcast,
        Setting::Usual,
        "0xff reaches every CPU, in xAPIC and in x2APIC mode",
        "lapic.c, kvm_apic_is_broadcast_dest",
    ),
    row(
        Case::KickSelf,
        Setting::Usual,
        "a kick to oneself makes the next HLT return at once, and only the next",
        BLOCK,
    ),
    row(
        Case::ManyKicks,
        Setting::Usual,
        "n kicks are one bit: one HLT returns, the next sleeps",
        ACCEPT,
    ),
    row(
        Case::KickBeforeHlt,
        Setting::Usual,
        "a kick that comes before the HLT is kept for it",
        BLOCK,
    ),
    row(
        Case::Caller32,
        Setting::Usual,
        "outside 64-bit mode number, arguments and result are cut to 32 bits",
        HYPERCALL,
    ),
    row(
        Case::SoftwareDisabledApic,
        Setting::Usual,
        "a local APIC that software has disabled (SVR bit 8) takes kicks all the same",
        ACCEPT,
    ),
    row(
        Case::SparseIds,
        Setting::SparseIds,
        "with gaps among the APIC IDs the ID alone counts, never the vCPU's index",
        "lapic.c, kvm_recalculate_phys_map",
    ),
    row(
        Case::IdAbove254,
        Setting::WideIds,
        "an APIC ID above 254 is reached",
        "lapic.c, kvm_recalculate_phys_map",
    ),
    row(
        Case::FeatureOffEnforced,
        Setting::FeatureOffEnforced,
        "with PV_UNHALT hidden and enforced the kick is answered with -KVM_ENOSYS",
        "cpuid.h, guest_pv_has",
    ),
    row(
        Case::FeatureOffNotEnforced,
        Setting::FeatureOff,
        "with PV_UNHALT hidden but not enforced the kick works",
        "cpuid.h, guest_pv_has",
    ),
];

/// The row of `case`.
pub fn row_of(case: Case) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.case == case)
}

/// The cases that `leaves` leaves, by the machine they share.
pub fn by_setting(leaves: impl Fn(Case) -> bool) -> Vec<(Setting, Vec<Case>)> {
    Setting::ALL
        .into_iter()
        .map(|setting| {
            let rows = TABLE.iter().filter(|row| row.setting == setting);
            let cases = rows.map(|row| row.case).filter(|case| leaves(*case));
            (setting, cases.collect::<Vec<_>>())
        })
        .filter(|(_, cases)| !cases.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_case_of_the_guest_once_and_in_its_order() {
        let cases: Vec<_> = TABLE.iter().map(|row| row.case).collect();
        assert_eq!(cases, Case::ALL);
    }

    #[test]
    fn no_case_is_lost_among_the_machines() {
        let all: usize = by_setting(|_| true).iter().map(|(_, c)| c.len()).sum();
        assert_eq!(all, Case::ALL.len());
        let one = by_setting(|case| case == Case::IdAbove254);
        assert_eq!(one, [(Setting::WideIds, vec![Case::IdAbove254])]);
    }
}
