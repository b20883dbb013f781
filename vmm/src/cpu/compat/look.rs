//! What this host offers, asked of its KVM.

use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};

use super::{Capabilities, Capability, HostOffers, cpuid};
use crate::cpu::pv_leaves::Vmcall;
use crate::host::Kind;
use crate::kvm::{self, xsave::XsaveSize};

impl HostOffers {
    /// Asks. `vcpu` is one of `vm` that has never run: its CPUID is set to all that KVM supports,
    /// to see what it makes of that. `vmcall` is what trying it showed.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn look(
        kvm: &Kvm,
        vm: &VmFd,
        vcpu: &VcpuFd,
        vmcall: Vmcall,
    ) -> Result<Self, kvm_ioctls::Error> {
        let supported = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
        vcpu.set_cpuid2(&supported)?;
        let shown = vcpu.get_cpuid2(KVM_MAX_CPUID_ENTRIES)?;
        Ok(Self {
            kind: Kind::detect(),
            cpuid: cpuid::with_shown(supported.as_slice().to_vec(), shown.as_slice()),
            msrs: kvm.get_msr_index_list()?.as_slice().to_vec(),
            xsave_bytes: u32::try_from(XsaveSize::of(vm).bytes()).unwrap_or(u32::MAX),
            tsc_khz: vcpu.get_tsc_khz().ok().filter(|&khz| khz != 0),
            tsc_scaling: vm.check_extension(Cap::TscControl),
            capabilities: capabilities(vm, vmcall),
        })
    }
}

fn capabilities(vm: &VmFd, vmcall: Vmcall) -> Capabilities {
    [
        (
            Capability::LocalApicInKvm,
            vm.check_extension(Cap::SplitIrqchip),
        ),
        (Capability::WideApicIds, vm.check_extension(Cap::X2ApicApi)),
        (Capability::VmcallCompletes, vmcall == Vmcall::Completes),
        (
            Capability::UserSpaceMsrs,
            vm.check_extension(Cap::X86UserSpaceMsr),
        ),
        (
            Capability::TscDeadline,
            vm.check_extension(Cap::TscDeadlineTimer),
        ),
        (
            Capability::Xen,
            vm.check_extension(Cap::X86MsrFilter) && vm.check_extension(Cap::X86UserSpaceMsr),
        ),
        (Capability::XenVmcall, kvm::xen::can_intercept(vm)),
    ]
    .into_iter()
    .filter_map(|(capability, there)| there.then_some(capability))
    .collect()
}
