//! The hypercall: does it complete, and who can catch it.

use guest_payload::abi::{CPUID_FEATURES, FEATURE_PV_UNHALT, KVM_EPERM, KVM_HC_KICK_CPU};
use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_USE_HW_BP, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
    kvm_guest_debug, kvm_guest_debug_arch, kvm_regs,
};

use crate::host::check::{CPU_TIME, Finding, Host};
use crate::host::code::{Op, VMCALL_LEN, assemble};
use crate::host::tiny_vm::{CODE, Exit, Lapic, Ring, TinyVm};
use crate::host::{HostError, Kind, vmcall_completes};
use crate::kvm::xen;

const KVM_EXIT_XEN: u32 = 34;
const PORT: u8 = 0x81;

pub(super) fn pv_unhalt(host: &Host) -> Result<Finding, HostError> {
    let mut leaves = host.cpuid.as_slice().iter();
    let offered =
        leaves.any(|leaf| leaf.function == CPUID_FEATURES && leaf.eax & FEATURE_PV_UNHALT != 0);
    Ok(Finding::either(
        offered,
        "`--pv-unhalt on` is what KVM itself would say",
        "KVM takes no kick: `--kick auto` picks vmm, where our own kick stands behind the bit",
    ))
}

pub(super) fn at_cpl0(host: &Host) -> Result<Finding, HostError> {
    Ok(Finding::either(
        vmcall_completes(host.kvm)?,
        "`--kick kvm` works from ring 0",
        "it is executed again for ever, so `--kick kvm` cannot work here; `auto` picks vmm",
    ))
}

pub(super) fn at_cpl3(host: &Host) -> Result<Finding, HostError> {
    let code = assemble(&[Op::Vmcall, Op::Out(PORT)]);
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &code)?;
    let mut vcpu = vm.add_vcpu(0, Ring::User, Some(&host.cpuid))?;
    vcpu.set_rax(KVM_HC_KICK_CPU)?;
    let exit = vcpu.run(CPU_TIME)?;
    if exit != Exit::out(PORT) {
        return Ok(Finding::value(
            exit.to_string(),
            "a kick from ring 3 cannot use `vmcall`",
        ));
    }
    let rax = vcpu.regs()?.rax;
    Ok(if rax == (-KVM_EPERM).cast_unsigned() {
        Finding::value(
            "-EPERM",
            "as KVM has it: under `--kick kvm` the payload goes to ring 0 for a kick from ring 3",
        )
    } else {
        Finding::value(
            rax.cast_signed().to_string(),
            "not the -EPERM of KVM: what a kick from ring 3 does here is unknown",
        )
    })
}

pub(super) fn breakpoint(host: &Host) -> Result<Finding, HostError> {
    const ENABLE_DR0: u64 = 0b10;
    let code = assemble(&[Op::Vmcall, Op::Out(PORT)]);
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &code)?;
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    vcpu.debug(&kvm_guest_debug {
        control: KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
        arch: kvm_guest_debug_arch {
            debugreg: [CODE, 0, 0, 0, 0, 0, 0, ENABLE_DR0],
        },
        ..Default::default()
    })?;
    vcpu.set_rax(KVM_HC_KICK_CPU)?;
    let stopped = vcpu.run(CPU_TIME)? == Exit::Debug { rip: CODE };
    // Answer it as the VMM would, and go on behind it.
    let regs = vcpu.regs()?;
    let untouched = regs.rip == CODE && regs.rax == KVM_HC_KICK_CPU;
    vcpu.set_regs(&kvm_regs {
        rip: CODE + VMCALL_LEN,
        rax: 0,
        ..regs
    })?;
    let goes_on = stopped && vcpu.run(CPU_TIME)? == Exit::out(PORT);
    Ok(Finding::either(
        stopped && untouched && goes_on,
        "`--kick vmm` takes the kick of an unmodified kernel, found by its symbol or `--kick-site`",
        "an unmodified kernel's kick cannot be taken: `--kick vmm` needs a stub page",
    ))
}

pub(super) fn xen_intercept(host: &Host) -> Result<Finding, HostError> {
    let code = assemble(&[Op::Vmcall, Op::Out(PORT)]);
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &code)?;
    let handed_out = match xen::set_hvm_config(vm.fd(), KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL) {
        Err(_) => false,
        Ok(()) => {
            let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
            vcpu.run(CPU_TIME)? == Exit::Other(KVM_EXIT_XEN)
        }
    };
    Ok(Finding::either(
        handed_out,
        "`--xen` takes a guest's own `vmcall` through KVM's Xen support",
        match host.kind {
            Kind::Pvm => {
                "PVM has none of KVM's Xen support: `--xen` takes calls through its hypercall page only"
            }
            _ => {
                "KVM is built without CONFIG_KVM_XEN: `--xen` takes calls through its hypercall page only"
            }
        },
    ))
}
