//! KVM's own CPUID leaves: what the host tells a paravirtualised guest.
//!
//! Bits and their meaning: Linux `Documentation/virt/kvm/x86/cpuid.rst`. What the guest does with
//! them: `arch/x86/kernel/kvm.c`. Which hypercall each needs: `hypercalls.rst` beside `cpuid.rst`.

use kvm_bindings::kvm_cpuid_entry2;

/// Leaf of the signature and of the highest KVM leaf.
pub const SIGNATURE_LEAF: u32 = 0x4000_0000;
/// Leaf of the features (EAX) and hints (EDX).
pub const FEATURES_LEAF: u32 = 0x4000_0001;
/// Leaf of the frequencies: EAX = TSC, EBX = local APIC timer bus, both in kHz.
///
/// Not KVM's own: VMware defined it and QEMU offers it under KVM (`vmware-cpuid-freq`).
pub const FREQUENCY_LEAF: u32 = 0x4000_0010;

/// KVM's emulated local APIC timer counts nanoseconds (`APIC_BUS_CYCLE_NS` is 1).
pub const KVM_APIC_BUS_KHZ: u32 = 1_000_000;

/// `KVM_FEATURE_MMU_OP`: page table updates by hypercall. Deprecated, gone from KVM.
pub const MMU_OP: u32 = 1 << 2;
/// `KVM_FEATURE_ASYNC_PF`: page faults the host announces through the local APIC.
pub const ASYNC_PF: u32 = 1 << 4;
/// `KVM_FEATURE_PV_EOI`: end of interrupt through memory shared with KVM's local APIC.
pub const PV_EOI: u32 = 1 << 6;
/// `KVM_FEATURE_PV_UNHALT`: lock waiters may halt; `KVM_HC_KICK_CPU` wakes them.
pub const PV_UNHALT: u32 = 1 << 7;
/// `KVM_FEATURE_PV_TLB_FLUSH`: a flush for a preempted vCPU is left as a flag in its steal-time
/// page (`kvm_flush_tlb_multi`). No hypercall, so it stays whatever `vmcall` does.
pub const PV_TLB_FLUSH: u32 = 1 << 9;
/// `KVM_FEATURE_ASYNC_PF_VMEXIT`: [`ASYNC_PF`] for a guest that runs guests.
pub const ASYNC_PF_VMEXIT: u32 = 1 << 10;
/// `KVM_FEATURE_PV_SEND_IPI`: `KVM_HC_SEND_IPI`. The guest then sends no IPI by its local APIC.
pub const PV_SEND_IPI: u32 = 1 << 11;
/// `KVM_FEATURE_PV_SCHED_YIELD`: `KVM_HC_SCHED_YIELD` after an IPI to preempted vCPUs.
pub const PV_SCHED_YIELD: u32 = 1 << 13;
/// `KVM_FEATURE_ASYNC_PF_INT`: [`ASYNC_PF`]'s "page ready" as an interrupt.
pub const ASYNC_PF_INT: u32 = 1 << 14;
/// `KVM_FEATURE_HC_MAP_GPA_RANGE`: `KVM_HC_MAP_GPA_RANGE`, which userspace has to serve.
pub const HC_MAP_GPA_RANGE: u32 = 1 << 16;
/// `KVM_FEATURE_MIGRATION_CONTROL`: an MSR that userspace has to serve.
pub const MIGRATION_CONTROL: u32 = 1 << 17;

/// `KVM_HINTS_REALTIME`, EDX: vCPUs are not preempted for long, so PV spinlocks gain nothing.
pub const HINT_REALTIME: u32 = 1 << 0;

/// Features whose use is a hypercall the guest executes without looking whether it returns.
///
/// `KVM_HC_CLOCK_PAIRING` has no bit: Linux's `ptp_kvm` driver tries it wherever KVM's signature
/// is, so CPUID cannot keep a guest from it.
const NEED_VMCALL: u32 = MMU_OP | PV_SEND_IPI | PV_SCHED_YIELD | HC_MAP_GPA_RANGE;

/// Features that KVM serves only beside its own local APIC: their MSRs fault or their
/// interrupts go nowhere without it (`kvm_pv_enable_async_pf`, `kvm_lapic_set_pv_eoi`,
/// `kvm_pv_send_ipi`).
const NEED_KERNEL_LOCAL_APIC: u32 =
    ASYNC_PF | PV_EOI | ASYNC_PF_VMEXIT | PV_SEND_IPI | ASYNC_PF_INT;

/// Features that need userspace to serve what this VMM does not.
const NEED_USERSPACE: u32 = HC_MAP_GPA_RANGE | MIGRATION_CONTROL;

/// A bit the user may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The guest sees it.
    Shown,
    /// The guest does not.
    Hidden,
}

/// What becomes of the `vmcall` instruction on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vmcall {
    /// It returns, with a result in RAX.
    Completes,
    /// KVM executes it again and again; the vCPU does nothing else.
    NeverCompletes,
}

/// Who takes `KVM_HC_KICK_CPU`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KickTaker {
    /// KVM, which needs `vmcall` and its support for PV_UNHALT.
    Kvm,
    /// This VMM, by a way that needs neither.
    Vmm,
}

/// Where the local APICs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalApics {
    /// In KVM.
    Kvm,
    /// In this VMM.
    Vmm,
}

/// What the guest is to be told, and what the host can do of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PvFeatures {
    /// Whether [`PV_UNHALT`] was asked for.
    pub pv_unhalt: Offer,
    /// Whether [`HINT_REALTIME`] was asked for.
    pub hint_realtime: Offer,
    /// The TSC-deadline mode of the local APIC timer, bit 24 of leaf 1 ECX.
    pub tsc_deadline: Offer,
    /// What `vmcall` does here.
    pub vmcall: Vmcall,
    /// Who takes the kick.
    pub kick: KickTaker,
    /// Where the local APICs are.
    pub local_apics: LocalApics,
    /// TSC frequency in kHz, for [`FREQUENCY_LEAF`].
    pub tsc_khz: Option<u32>,
    /// Frequency of the local APIC timer's bus in kHz ([`KVM_APIC_BUS_KHZ`] under KVM's local
    /// APIC), for [`FREQUENCY_LEAF`].
    pub apic_bus_khz: Option<u32>,
}

impl PvFeatures {
    /// EAX of [`FEATURES_LEAF`], from what KVM supports.
    pub fn features(&self, supported: u32) -> u32 {
        let mut features = supported & !NEED_USERSPACE & !PV_UNHALT;
        if self.vmcall == Vmcall::NeverCompletes {
            features &= !NEED_VMCALL;
        }
        if self.local_apics == LocalApics::Vmm {
            features &= !NEED_KERNEL_LOCAL_APIC;
        }
        if self.offers_pv_unhalt(supported) {
            features |= PV_UNHALT;
        }
        features
    }

    /// Whether the guest sees [`PV_UNHALT`]: asked for, and somebody is there to take the kick.
    pub fn offers_pv_unhalt(&self, supported: u32) -> bool {
        let taken = match self.kick {
            KickTaker::Vmm => true,
            KickTaker::Kvm => supported & PV_UNHALT != 0 && self.vmcall == Vmcall::Completes,
        };
        taken && self.pv_unhalt == Offer::Shown
    }

    /// The leaves, in ascending order.
    pub(super) fn leaves(&self, supported: &[kvm_cpuid_entry2]) -> Vec<kvm_cpuid_entry2> {
        let supported_features = supported
            .iter()
            .find(|entry| entry.function == FEATURES_LEAF)
            .map_or(0, |entry| entry.eax);
        let [ebx, ecx, edx] = [*b"KVMK", *b"VMKV", *b"M\0\0\0"].map(u32::from_le_bytes);
        let mut leaves = vec![
            kvm_cpuid_entry2 {
                function: SIGNATURE_LEAF,
                eax: FEATURES_LEAF,
                ebx,
                ecx,
                edx,
                ..Default::default()
            },
            kvm_cpuid_entry2 {
                function: FEATURES_LEAF,
                eax: self.features(supported_features),
                edx: match self.hint_realtime {
                    Offer::Shown => HINT_REALTIME,
                    Offer::Hidden => 0,
                },
                ..Default::default()
            },
        ];
        if let Some(tsc_khz) = self.tsc_khz {
            leaves[0].eax = FREQUENCY_LEAF;
            leaves.push(kvm_cpuid_entry2 {
                function: FREQUENCY_LEAF,
                eax: tsc_khz,
                ebx: self.apic_bus_khz.unwrap_or(0),
                ..Default::default()
            });
        }
        leaves
    }
}

/// Whether `leaf` is in the range hypervisors answer.
pub(in crate::cpu) fn is_hypervisor_leaf(leaf: u32) -> bool {
    leaf & 0xf000_0000 == 0x4000_0000
}

#[cfg(test)]
#[path = "pv_leaves_test.rs"]
mod tests;
