//! Switches: what exits, what KVM polls, what it enforces.

use kvm_bindings::{
    KVM_CAP_ENFORCE_PV_FEATURE_CPUID, KVM_CAP_HALT_POLL, KVM_CAP_X86_DISABLE_EXITS,
    KVM_X86_DISABLE_EXITS_HLT, KVM_X86_DISABLE_EXITS_PAUSE, kvm_enable_cap,
};

use crate::host::check::{Answer, Finding, Host};
use crate::host::code::{Op, assemble};
use crate::host::ple::HardwarePle;
use crate::host::tiny_vm::{CODE, Lapic, Ring, TinyVm};
use crate::host::tracepoints::Tracepoints;
use crate::host::{HostError, Kind};

pub(super) fn immediate_exit(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &assemble(&[Op::Out(0)]))?;
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    vcpu.fd().set_kvm_immediate_exit(1);
    let left = vcpu.enter()?.is_none() && vcpu.regs()?.rip == CODE;
    Ok(Finding::either(
        left,
        "`vmm pause` and `snapshot` stop a vCPU without a race, its last I/O finished",
        "a stop may race with KVM_RUN: a vCPU may run one more exit",
    ))
}

pub(super) fn hlt_off(host: &Host) -> Result<Finding, HostError> {
    Ok(Finding::either(
        can_disable(host, KVM_X86_DISABLE_EXITS_HLT)?,
        "`--disable-exits hlt` works, and takes PV_UNHALT away",
        "`--disable-exits hlt` is refused",
    ))
}

pub(super) fn pause_off(host: &Host) -> Result<Finding, HostError> {
    Ok(Finding::either(
        can_disable(host, KVM_X86_DISABLE_EXITS_PAUSE)?,
        match host.kind {
            Kind::Pvm => "`--disable-exits pause` is accepted, without effect: no PLE to turn off",
            _ => "`--ple off` works: a VM with and without PLE can be compared",
        },
        "`--disable-exits pause` is refused: `--ple off` and `soft` work only without PLE",
    ))
}

fn can_disable(host: &Host, exits: u32) -> Result<bool, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &[])?;
    Ok(vm.enable(KVM_CAP_X86_DISABLE_EXITS, exits.into()).is_ok())
}

pub(super) fn ple(_: &Host) -> Result<Finding, HostError> {
    let found = HardwarePle::detect();
    if found.parameters.is_empty() {
        return Ok(Finding::value(
            "none",
            "no PLE: KVM never catches a vCPU that spins; use `--ple soft`",
        ));
    }
    Ok(Finding::value(
        found.pairs().join(" "),
        match found.acts {
            true => "read-only: experiments compare what these give with `--ple off` and `soft`",
            false => "read-only, and off: KVM catches no vCPU that spins; use `--ple soft`",
        },
    ))
}

pub(super) fn tracepoints(host: &Host) -> Result<Finding, HostError> {
    Ok(match Tracepoints::open(host.kind) {
        Ok(_) => Finding::either(true, "reports count what the hardware's PLE did", ""),
        Err(why) => Finding {
            answer: Answer::No,
            meaning: format!("reports do not count what the hardware's PLE does: {why}"),
        },
    })
}

pub(super) fn halt_poll(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &[])?;
    Ok(Finding::either(
        vm.enable(KVM_CAP_HALT_POLL, 100_000).is_ok(),
        "`--halt-poll-ns` works",
        "`--halt-poll-ns` is refused; /sys/module/kvm/parameters/halt_poll_ns is for all VMs",
    ))
}

pub(super) fn enforce_pv(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &[])?;
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    let enforce = kvm_enable_cap {
        cap: KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
        args: [1, 0, 0, 0],
        ..Default::default()
    };
    Ok(Finding::either(
        vcpu.fd().enable_cap(&enforce).is_ok(),
        "`--enforce-pv` works for `--kick kvm` too",
        "`--enforce-pv` works for `--kick vmm` only",
    ))
}
