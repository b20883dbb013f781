//! What KVM keeps of a vCPU on this host: found once for a machine.

use kvm_ioctls::{Kvm, VcpuFd, VmFd};

use super::error::Error;
use super::msrs;
use crate::cpu::pv_leaves::LocalApics;
use crate::kvm::xsave::XsaveSize;

/// What there is to save of each vCPU of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub(super) msrs: Vec<u32>,
    /// Saved where they are not 0.
    pub(super) unlisted_msrs: Vec<u32>,
    pub(super) has_tsc_deadline: bool,
    pub(super) xsave: XsaveSize,
    pub(super) lapics: LocalApics,
}

impl Kept {
    /// Finds it. `vcpu` is any of the machine's, with its CPUID set, standing still.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn find(kvm: &Kvm, vm: &VmFd, vcpu: &VcpuFd, lapics: LocalApics) -> Result<Self, Error> {
        let listed = msrs::listed(kvm, vcpu)?;
        let has_tsc_deadline = listed.contains(&msrs::IA32_TSC_DEADLINE);
        Ok(Self {
            unlisted_msrs: msrs::others(vcpu, &listed)?,
            msrs: listed
                .into_iter()
                .filter(|&index| !msrs::has_its_own_place(index))
                .collect(),
            has_tsc_deadline,
            xsave: XsaveSize::of(vm),
            lapics,
        })
    }

    /// What restoring needs to know: the state itself says which MSRs it has.
    #[must_use]
    pub fn to_restore(vm: &VmFd, lapics: LocalApics) -> Self {
        Self {
            msrs: Vec::new(),
            unlisted_msrs: Vec::new(),
            has_tsc_deadline: false,
            xsave: XsaveSize::of(vm),
            lapics,
        }
    }

    /// The MSRs of KVM's list that are saved, IA32_TSC and IA32_TSC_DEADLINE apart.
    #[must_use]
    pub fn msrs(&self) -> &[u32] {
        &self.msrs
    }

    /// How long an XSAVE area is.
    #[must_use]
    pub fn xsave_bytes(&self) -> usize {
        self.xsave.bytes()
    }

    /// Where the local APICs are.
    #[must_use]
    pub fn local_apics(&self) -> LocalApics {
        self.lapics
    }
}
