//! What a guest was shown that this host cannot do.
//!
//! A snapshot carries what its guest needs of a host ([`HostNeeds`]); before anything is restored
//! it is compared with what this host offers ([`HostOffers`]). The comparison is pure and gives
//! one line for each difference. More than was needed is no difference.

mod capability;
mod cpuid;
mod difference;
mod feature_words;
mod look;

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use serde::{Deserialize, Deserializer, Serialize};

use super::state::{KvmVcpuState, MAX_MSRS, RawList};
use crate::host::Kind;

pub use capability::{Capabilities, Capability};
pub use difference::{Difference, Register};

/// KVM's default tolerance (`tsc_tolerance_ppm`): within it a rate is taken as the host's own.
const TSC_TOLERANCE_PPM: u64 = 250;

/// What a saved guest needs of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostNeeds {
    /// Kind of KVM that it ran under.
    pub kind: Kind,
    /// Release of the kernel that it ran under; for information only.
    #[serde(deserialize_with = "kernel_release")]
    pub kernel: String,
    /// The CPUID of its first vCPU.
    pub cpuid: RawList<kvm_cpuid_entry2, KVM_MAX_CPUID_ENTRIES>,
    /// The MSRs that hold something on any of its vCPUs.
    pub msrs: RawList<u32, MAX_MSRS>,
    /// Length of its XSAVE areas.
    pub xsave_bytes: u32,
    /// Rate of its TSC in kHz, where it is known.
    pub tsc_khz: Option<u32>,
    /// What else it stands on.
    pub capabilities: Capabilities,
}

impl HostNeeds {
    /// What these vCPUs need, of a machine that stands on `capabilities`.
    #[must_use]
    pub fn of<'a>(
        vcpus: impl Iterator<Item = &'a KvmVcpuState> + Clone,
        kind: Kind,
        kernel: &str,
        capabilities: Capabilities,
    ) -> Self {
        let mut msrs: Vec<u32> = vcpus
            .clone()
            .flat_map(|vcpu| vcpu.msrs.as_slice())
            .filter(|msr| msr.data != 0)
            .map(|msr| msr.index)
            .collect();
        msrs.sort_unstable();
        msrs.dedup();
        // All vCPUs of a machine have one list of MSRs, which is not longer.
        msrs.truncate(MAX_MSRS);
        let first = vcpus.clone().next();
        Self {
            kind,
            kernel: kernel.to_owned(),
            cpuid: first.map_or_else(RawList::default, |vcpu| vcpu.cpuid.clone()),
            msrs: RawList::new(msrs).unwrap_or_default(),
            xsave_bytes: first.map_or(0, |vcpu| {
                u32::try_from(vcpu.xsave.as_slice().len()).unwrap_or(u32::MAX)
            }),
            tsc_khz: first.and_then(|vcpu| vcpu.tsc_khz),
            capabilities,
        }
    }

    /// Everything that it stands on: what was noted, and what follows from its CPUID.
    fn all_capabilities(&self) -> Capabilities {
        self.capabilities | cpuid::implied(self.cpuid.as_slice())
    }

    /// Whether it stands on `capability`.
    #[must_use]
    pub fn stand_on(&self, capability: Capability) -> bool {
        self.all_capabilities().contains(capability)
    }
}

/// What a host offers.
#[derive(Clone, Debug, PartialEq)]
pub struct HostOffers {
    /// Kind of its KVM.
    pub kind: Kind,
    /// What `KVM_GET_SUPPORTED_CPUID` says, and what a vCPU shows besides.
    pub cpuid: Vec<kvm_cpuid_entry2>,
    /// The MSRs that its KVM lists.
    pub msrs: Vec<u32>,
    /// Length of its XSAVE areas.
    pub xsave_bytes: u32,
    /// Rate of its TSC in kHz, where it is known.
    pub tsc_khz: Option<u32>,
    /// Whether it can give a guest another rate.
    pub tsc_scaling: bool,
    /// What else it has.
    pub capabilities: Capabilities,
}

/// What the guest needs and the host does not offer; empty where it can be restored.
#[must_use]
pub fn differences(needs: &HostNeeds, has: &HostOffers) -> Vec<Difference> {
    let mut found = Vec::new();
    if needs.kind != has.kind {
        found.push(Difference::Kind {
            needs: needs.kind,
            has: has.kind,
        });
    }
    found.extend(cpuid::differences(
        needs.cpuid.as_slice(),
        needs.capabilities,
        &has.cpuid,
    ));
    let lacking = needs.all_capabilities().without(has.capabilities);
    found.extend(lacking.known().map(Difference::Capability));
    if lacking.unknown() {
        found.push(Difference::UnknownCapability);
    }
    let known = |msr: &u32| has.msrs.contains(msr) || super::state::is_unlisted_msr(*msr);
    let msrs = needs.msrs.as_slice().iter().filter(|msr| !known(msr));
    found.extend(msrs.map(|&msr| Difference::Msr(msr)));
    if needs.xsave_bytes > has.xsave_bytes {
        found.push(Difference::Xsave {
            needs: needs.xsave_bytes,
            has: has.xsave_bytes,
        });
    }
    found.extend(tsc_difference(needs.tsc_khz, has));
    found
}

fn tsc_difference(needs: Option<u32>, has: &HostOffers) -> Option<Difference> {
    let (needs, offered) = (needs?, has.tsc_khz?);
    let apart = u64::from(needs.abs_diff(offered));
    let tolerated = u64::from(offered) * TSC_TOLERANCE_PPM / 1_000_000;
    (apart > tolerated && !has.tsc_scaling).then_some(Difference::TscRate {
        needs,
        has: offered,
    })
}

/// A release as uname(2) gives it: short, and safe to print.
fn kernel_release<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    /// `__NEW_UTS_LEN` of linux/utsname.h.
    const LONGEST: usize = 64;
    let release = String::deserialize(deserializer)?;
    if release.len() <= LONGEST && release.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(release)
    } else {
        Err(serde::de::Error::custom("not a kernel release"))
    }
}

#[cfg(test)]
mod compat_test;
