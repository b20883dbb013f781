//! The CPUID each vCPU sees: what KVM supports, with our topology and KVM's own leaves.

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

use super::pv_leaves::{self, Offer, PvFeatures};
use super::topology::Topology;
use super::topology_leaves::{
    self as shared, AMD_EXTENDED_TOPOLOGY, EXTENDED_TOPOLOGY, EXTENDED_TOPOLOGY_V2,
};
use super::xen_leaves;

/// Leaf 1, bit 21 of ECX: the local APIC has x2APIC mode. KVM's always has, and ours.
const X2APIC: u32 = 1 << 21;
/// Leaf 1, bit 24 of ECX: the local APIC timer has TSC-deadline mode.
const TSC_DEADLINE: u32 = 1 << 24;
/// Leaf 1, bit 31 of ECX: a hypervisor is present. Always 0 on hardware; software's convention.
const HYPERVISOR: u32 = 1 << 31;

/// Why the CPUID cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KVM's list and ours together are longer than KVM takes.
    #[error(
        "CPUID: {entries} entries are more than KVM takes ({})",
        kvm_bindings::KVM_MAX_CPUID_ENTRIES
    )]
    TooMany {
        /// How many there would be.
        entries: usize,
    },
}

/// The CPUID of all vCPUs of a machine: built once, then changed in the few entries that are a
/// vCPU's own.
#[derive(Clone, Debug)]
pub struct CpuidTemplate {
    cpuid: CpuId,
    topology: Topology,
    /// Indices of the entries that differ between vCPUs.
    own: Vec<usize>,
    /// Index of Xen's leaf that has the vCPU's ID.
    xen_id: Option<usize>,
}

impl CpuidTemplate {
    /// Builds it from what `KVM_GET_SUPPORTED_CPUID` returned.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn new(
        supported: &CpuId,
        features: &PvFeatures,
        topology: &Topology,
    ) -> Result<Self, Error> {
        let entries = entries(supported.as_slice(), features, topology);
        let own = (0..entries.len())
            .filter(|&at| shared::is_own(entries[at].function))
            .collect();
        let cpuid = CpuId::from_entries(&entries).map_err(|_| Error::TooMany {
            entries: entries.len(),
        })?;
        Ok(Self {
            cpuid,
            topology: *topology,
            own,
            xen_id: None,
        })
    }

    /// The same with Xen's leaves, before KVM's.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn with_xen(self) -> Result<Self, Error> {
        let mut entries = self.cpuid.as_slice().to_vec();
        xen_leaves::make_room(&mut entries);
        entries.extend(xen_leaves::leaves());
        let cpuid = CpuId::from_entries(&entries).map_err(|_| Error::TooMany {
            entries: entries.len(),
        })?;
        let xen_id = entries
            .iter()
            .position(|entry| entry.function == xen_leaves::HVM_LEAF);
        Ok(Self {
            cpuid,
            xen_id,
            ..self
        })
    }

    /// The CPUID of vCPU `index`, for `KVM_SET_CPUID2`.
    ///
    /// It is the template itself, changed in place: creating a thousand vCPUs copies nothing.
    pub fn for_vcpu(&mut self, index: u32) -> &CpuId {
        let entries = self.cpuid.as_mut_slice();
        for &at in &self.own {
            shared::set_own(&mut entries[at], &self.topology, index);
        }
        if let Some(entry) = self.xen_id.and_then(|at| entries.get_mut(at)) {
            entry.ebx = index;
        }
        &self.cpuid
    }
}

/// The entries of all vCPUs; those of one vCPU's own are not filled in.
fn entries(
    supported: &[kvm_cpuid_entry2],
    features: &PvFeatures,
    topology: &Topology,
) -> Vec<kvm_cpuid_entry2> {
    let amd = is_amd(supported);
    let has_v2 = max_leaf(supported) >= EXTENDED_TOPOLOGY_V2;
    let mut entries: Vec<_> = supported
        .iter()
        .filter(|entry| !is_replaced(entry.function))
        .copied()
        .collect();
    for entry in &mut entries {
        shared::set_shared(entry, topology, amd);
        match entry.function {
            // EAX: the highest basic leaf. An AMD host's may be below 0BH.
            0 => entry.eax = entry.eax.max(EXTENDED_TOPOLOGY),
            1 => {
                entry.ecx = entry.ecx & !TSC_DEADLINE | X2APIC | HYPERVISOR;
                if features.tsc_deadline == Offer::Shown {
                    entry.ecx |= TSC_DEADLINE;
                }
            }
            _ => {}
        }
    }
    entries.extend(shared::levels(EXTENDED_TOPOLOGY, topology));
    if has_v2 {
        entries.extend(shared::levels(EXTENDED_TOPOLOGY_V2, topology));
    }
    entries.extend(features.leaves(supported));
    entries
}

/// Leaves of KVM's list that are dropped, because ours take their place or nothing should.
fn is_replaced(leaf: u32) -> bool {
    pv_leaves::is_hypervisor_leaf(leaf)
        || matches!(
            leaf,
            EXTENDED_TOPOLOGY | EXTENDED_TOPOLOGY_V2 | AMD_EXTENDED_TOPOLOGY
        )
}

fn max_leaf(supported: &[kvm_cpuid_entry2]) -> u32 {
    leaf_zero(supported).map_or(0, |entry| entry.eax)
}

/// AMD, or Hygon, which follows AMD's manual.
fn is_amd(supported: &[kvm_cpuid_entry2]) -> bool {
    // The vendor's name is in EBX, EDX, ECX; its first four letters tell.
    leaf_zero(supported).is_some_and(|entry| matches!(&entry.ebx.to_le_bytes(), b"Auth" | b"Hygo"))
}

fn leaf_zero(supported: &[kvm_cpuid_entry2]) -> Option<&kvm_cpuid_entry2> {
    supported.iter().find(|entry| entry.function == 0)
}

#[cfg(test)]
#[path = "cpuid_test.rs"]
mod tests;
