//! How many, and what is counted.

use kvm_ioctls::VmFd;

use crate::host::HostError;
use crate::host::check::{Answer, Finding, Host};
use crate::host::tiny_vm::{Lapic, TinyVm};
use crate::kvm::stats::StatsFd;

pub(super) fn max_vcpus(host: &Host) -> Result<Finding, HostError> {
    let (most, recommended) = (host.kvm.get_max_vcpus(), host.kvm.get_nr_vcpus());
    Ok(Finding::value(
        most.to_string(),
        format!("`--vcpus 1..{most}`; KVM recommends up to {recommended}, more is overcommit"),
    ))
}

pub(super) fn max_vcpu_id(host: &Host) -> Result<Finding, HostError> {
    let ids = host.kvm.get_max_vcpu_id() as u64;
    let highest = ids.saturating_sub(1);
    let vm = TinyVm::new(host.kvm, Lapic::None, &[])?;
    Ok(match (creates(vm.fd(), highest), creates(vm.fd(), ids)) {
        (true, false) => Finding::value(
            highest.to_string(),
            "APIC IDs of a `--topology` go so far; this one was created, the next was refused",
        ),
        (true, true) => Finding::value(
            format!("at least {ids}"),
            "APIC IDs of a `--topology` go further than KVM says",
        ),
        (false, _) => Finding {
            answer: Answer::CannotTell(format!("KVM names {highest} and refuses it")),
            meaning: "a `--topology` with high APIC IDs may be refused by KVM".to_owned(),
        },
    })
}

fn creates(vm: &VmFd, id: u64) -> bool {
    vm.create_vcpu(id).is_ok()
}

pub(super) fn binary_stats(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::None, &[])?;
    let names = StatsFd::from_vm(vm.fd()).map_or(0, |stats| stats.descriptors().len());
    Ok(Finding::either(
        names > 0,
        "the report shows KVM's own counters that moved",
        "KVM gives no counters, the report has none of them",
    ))
}
