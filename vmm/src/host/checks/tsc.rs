//! The guest's TSC.

use crate::host::HostError;
use crate::host::check::{Finding, Host};
use crate::host::error::Step;
use crate::host::tiny_vm::{Lapic, Ring, TinyVm};
use crate::kvm::attr;

pub(super) fn khz(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &[])?;
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    let host_khz = vcpu.fd().get_tsc_khz().step("KVM_GET_TSC_KHZ")?;
    // Slower than the host: faster can be had by catching up, slower needs the hardware's scaling.
    let slower = host_khz - host_khz / 10;
    let scaled = vcpu.fd().set_tsc_khz(slower).is_ok()
        && vcpu.fd().get_tsc_khz().step("KVM_GET_TSC_KHZ")? == slower;
    Ok(Finding::either(
        scaled,
        "`vmm restore` takes a guest from a host with another TSC rate",
        "`vmm restore` takes a guest only where the TSC has the rate that it was saved with",
    ))
}

pub(super) fn offset(host: &Host) -> Result<Finding, HostError> {
    const STEP_BACK: u64 = 1 << 40;
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &[])?;
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    let works = match attr::tsc_offset(vcpu.fd()) {
        Err(_) => false,
        Ok(offset) => {
            let wanted = offset.wrapping_sub(STEP_BACK);
            attr::set_tsc_offset(vcpu.fd(), wanted).is_ok()
                && attr::tsc_offset(vcpu.fd()).step("KVM_GET_DEVICE_ATTR")? == wanted
        }
    };
    Ok(Finding::either(
        works,
        "`vmm restore` sets the TSCs of all vCPUs in step, as they were saved",
        "`vmm restore` cannot keep the TSCs in step: a guest reads the host's own, or one written for each vCPU",
    ))
}
