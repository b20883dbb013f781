//! What a guest stands on besides its CPUID.

use std::fmt;
use std::ops::BitOr;

use serde::{Deserialize, Serialize};

/// Something that a host has or lacks. Its number is its bit in a saved file: only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// The local APIC in KVM.
    LocalApicInKvm = 0,
    /// APIC IDs of 32 bits.
    WideApicIds = 1,
    /// `vmcall` completes, so that KVM can take the kick.
    VmcallCompletes = 2,
    /// MSRs that KVM does not serve come to the VMM.
    UserSpaceMsrs = 3,
    /// The TSC-deadline mode of KVM's local APIC timer.
    TscDeadline = 4,
    /// Xen's interface of this VMM.
    Xen = 8,
    /// A Xen guest's `vmcall`, handed over by KVM.
    XenVmcall = 9,
}

impl Capability {
    const ALL: [Self; 7] = [
        Self::LocalApicInKvm,
        Self::WideApicIds,
        Self::VmcallCompletes,
        Self::UserSpaceMsrs,
        Self::TscDeadline,
        Self::Xen,
        Self::XenVmcall,
    ];

    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LocalApicInKvm => "a local APIC in KVM (KVM_CAP_SPLIT_IRQCHIP)",
            Self::WideApicIds => "APIC IDs of 32 bits (KVM_CAP_X2APIC_API)",
            Self::VmcallCompletes => "a `vmcall` that completes (--kick kvm)",
            Self::UserSpaceMsrs => "MSRs served by the VMM (KVM_CAP_X86_USER_SPACE_MSR)",
            Self::Xen => "Xen's interface (--xen)",
            Self::XenVmcall => {
                "Xen hypercalls handed to the VMM (KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL)"
            }
            Self::TscDeadline => "the TSC-deadline timer (KVM_CAP_TSC_DEADLINE_TIMER)",
        })
    }
}

/// A set of [`Capability`]; it may hold some that only a newer version knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Those of the set that `others` lacks.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether the set has it.
    #[must_use]
    pub fn contains(self, one: Capability) -> bool {
        self.0 & one.bit() != 0
    }

    /// Those that this version knows.
    pub fn known(self) -> impl Iterator<Item = Capability> {
        let all = Capability::ALL.into_iter();
        all.filter(move |&one| self.contains(one))
    }

    /// Whether there are any that this version does not know.
    #[must_use]
    pub fn unknown(self) -> bool {
        self.without(Capability::ALL.into_iter().collect()) != Self::default()
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |bits, one| bits | one.bit()))
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
