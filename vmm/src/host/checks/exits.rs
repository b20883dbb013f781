//! Switches: what exits, what KVM polls, what it enforces.

use std::path::Path;

use kvm_bindings::{
    KVM_CAP_ENFORCE_PV_FEATURE_CPUID, KVM_CAP_HALT_POLL, KVM_CAP_X86_DISABLE_EXITS,
    KVM_X86_DISABLE_EXITS_HLT, KVM_X86_DISABLE_EXITS_PAUSE, kvm_enable_cap,
};

use crate::host::check::{Finding, Host};
use crate::host::code::{Op, assemble};
use crate::host::tiny_vm::{CODE, Lapic, Ring, TinyVm};
use crate::host::{HostError, Kind};

const PLE_PARAMETERS: [(&str, &str); 2] = [
    ("/sys/module/kvm_intel/parameters", "ple_"),
    ("/sys/module/kvm_amd/parameters", "pause_filter_"),
];

pub(super) fn immediate_exit(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &assemble(&[Op::Out(0)]))?;
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    vcpu.fd().set_kvm_immediate_exit(1);
    let left = vcpu.enter()?.is_none() && vcpu.regs()?.rip == CODE;
    Ok(Finding::either(
        left,
        "a vCPU can be stopped without a race; a snapshot could finish its last I/O first",
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
            _ => "`--disable-exits pause` works: a VM with and without PLE can be compared",
        },
        "`--disable-exits pause` is refused: PLE cannot be switched per VM",
    ))
}

fn can_disable(host: &Host, exits: u32) -> Result<bool, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &[])?;
    Ok(vm.enable(KVM_CAP_X86_DISABLE_EXITS, exits.into()).is_ok())
}

pub(super) fn ple(_: &Host) -> Result<Finding, HostError> {
    let found = PLE_PARAMETERS
        .iter()
        .map(|(folder, prefix)| parameters(Path::new(folder), prefix))
        .find(|found| !found.is_empty());
    Ok(match found {
        Some(found) => Finding::value(
            found.join(" "),
            "read-only: PLE experiments compare what these give",
        ),
        None => Finding::value("none", "no PLE: KVM never catches a vCPU that spins"),
    })
}

/// `name=value` of each parameter whose name starts with `prefix`, sorted.
fn parameters(folder: &Path, prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let value = std::fs::read_to_string(entry.path()).ok()?;
            name.starts_with(prefix)
                .then(|| format!("{name}={}", value.trim()))
        })
        .collect();
    found.sort();
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_prefix_and_sorted() {
        let folder = std::env::temp_dir().join(format!("vmm-ple-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, value) in [
            ("ple_window", "4096\n"),
            ("ple_gap", "128\n"),
            ("ept", "Y\n"),
        ] {
            std::fs::write(folder.join(name), value).unwrap();
        }
        let found = parameters(&folder, "ple_");
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, ["ple_gap=128", "ple_window=4096"]);
    }

    #[test]
    fn no_module_no_parameters() {
        assert!(parameters(Path::new("/sys/module/no_such"), "ple_").is_empty());
    }
}
