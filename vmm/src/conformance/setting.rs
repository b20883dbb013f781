//! The machines that cases are run in.

use crate::cpu::topology::{self, Topology};
use crate::memory::MemorySize;
use crate::spec::{Choice, Guest, PvUnhalt, RunSpec};

/// A machine that cases share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// 4 vCPUs with consecutive APIC IDs, PV_UNHALT shown.
    Usual,
    /// APIC IDs 0, 1, 2, 4, 5, 6.
    SparseIds,
    /// APIC IDs up to 292.
    WideIds,
    /// PV_UNHALT hidden.
    FeatureOff,
    /// PV_UNHALT hidden, and `KVM_CAP_ENFORCE_PV_FEATURE_CPUID`.
    FeatureOffEnforced,
}

/// The mode of the guest's local APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Apic {
    /// Memory mapped, 8-bit IDs.
    XApic,
    /// MSRs, 32-bit IDs.
    X2Apic,
}

impl Apic {
    /// Both.
    pub const ALL: [Self; 2] = [Self::XApic, Self::X2Apic];

    /// Its name on the guest's command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::XApic => "xapic",
            Self::X2Apic => "x2apic",
        }
    }
}

const MEMORY: MemorySize = MemorySize::from_mib(32);

impl Setting {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Usual,
        Self::SparseIds,
        Self::WideIds,
        Self::FeatureOff,
        Self::FeatureOffEnforced,
    ];

    /// Whether it makes sense with local APICs in this mode: wide IDs need x2APIC.
    pub fn suits(self, apic: Apic) -> bool {
        self != Self::WideIds || apic == Apic::X2Apic
    }

    /// Its vCPUs.
    ///
    /// # Errors
    /// None for these counts.
    pub fn topology(self) -> Result<Topology, topology::Error> {
        match self {
            Self::Usual | Self::FeatureOff | Self::FeatureOffEnforced => Topology::flat(4),
            Self::SparseIds => Topology::new(2, 3, 1),
            // 25 vCPUs take 64 IDs: with counts just above a power of two, few vCPUs reach far.
            Self::WideIds => Topology::new(5, 5, 5),
        }
    }

    /// What to run for it.
    ///
    /// # Errors
    /// As [`Self::topology`].
    pub fn spec(
        self,
        switches: Switches,
        apic: Apic,
        cases: &str,
    ) -> Result<RunSpec, topology::Error> {
        let (pv_unhalt, enforce_pv) = match self {
            Self::Usual | Self::SparseIds | Self::WideIds => (PvUnhalt::On, false),
            Self::FeatureOff => (PvUnhalt::Off, false),
            Self::FeatureOffEnforced => (PvUnhalt::Off, true),
        };
        let cmdline = format!("mode=conformance apic={} cases={cases}", apic.name());
        Ok(RunSpec {
            memory: MEMORY,
            kick: switches.kick,
            halt: switches.halt,
            pv_unhalt,
            enforce_pv,
            ..RunSpec::new(Guest::Bundled, self.topology()?).with_cmdline(&cmdline)
        })
    }
}

/// A pair of switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// `--kick`.
    pub kick: Choice,
    /// `--halt`.
    pub halt: Choice,
}

impl Switches {
    /// A switch's word on the command line.
    pub fn word(choice: Choice) -> &'static str {
        match choice {
            Choice::Auto => "auto",
            Choice::Kvm => "kvm",
            Choice::Vmm => "vmm",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topologies_have_the_apic_ids_that_their_cases_need() {
        let ids = |setting: Setting| setting.topology().unwrap().apic_ids().collect::<Vec<_>>();
        assert_eq!(ids(Setting::SparseIds), [0, 1, 2, 4, 5, 6]);
        assert_eq!(ids(Setting::WideIds).last(), Some(&292));
        assert_eq!(ids(Setting::Usual), [0, 1, 2, 3]);
    }
}
