//! Dirty-page tracking, for migration.

use kvm_bindings::{KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL};

use crate::host::HostError;
use crate::host::check::{CPU_TIME, Finding, Host};
use crate::host::code::{Op, assemble};
use crate::host::error::Step;
use crate::host::tiny_vm::{DATA, Exit, Lapic, Ring, TinyVm};
use crate::kvm::dirty_ring::{self, DirtyPage, DirtyRing};

const PORT: u8 = 0x85;
const RING_BYTES: u16 = 4096;
const DATA_PAGE: u32 = DATA >> 12;

pub(super) fn dirty_log(host: &Host) -> Result<Finding, HostError> {
    let vm = writing_vm(host)?;
    vm.log_dirty_pages()?;
    // The first look clears what loading the code may have left.
    pages_in_log(&vm)?;
    write_page(host, &vm)?;
    let seen = pages_in_log(&vm)? & 1 << DATA_PAGE != 0;
    let cleared = pages_in_log(&vm)? & 1 << DATA_PAGE == 0;
    Ok(Finding::either(
        seen && cleared,
        "`vmm migrate` sends what changed while the guest runs",
        "`vmm migrate` cannot know what changed; `vmm snapshot` moves a guest that is stopped",
    ))
}

pub(super) fn dirty_ring(host: &Host) -> Result<Finding, HostError> {
    let vm = writing_vm(host)?;
    let enabled = [KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING]
        .into_iter()
        .any(|cap| vm.enable(cap, RING_BYTES.into()).is_ok());
    Ok(Finding::either(
        enabled && page_in_ring(host, &vm)?,
        "`vmm migrate` does without it, and uses the dirty log",
        "`vmm migrate` needs only the dirty log",
    ))
}

fn page_in_ring(host: &Host, vm: &TinyVm) -> Result<bool, HostError> {
    vm.log_dirty_pages()?;
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    let mut ring = DirtyRing::map(vcpu.fd(), RING_BYTES.into()).step("mmap of the dirty ring")?;
    expect_out(vcpu.run(CPU_TIME)?)?;
    let pages = ring.harvest();
    let reset = dirty_ring::reset(vm.fd()).step("KVM_RESET_DIRTY_RINGS")?;
    let written = DirtyPage {
        slot: 0,
        page: DATA_PAGE.into(),
    };
    Ok(pages.contains(&written) && reset == pages.len() && ring.harvest().is_empty())
}

fn writing_vm(host: &Host) -> Result<TinyVm, HostError> {
    let code = assemble(&[Op::Eax(1), Op::Store(DATA), Op::Out(PORT)]);
    TinyVm::new(host.kvm, Lapic::InKernel, &code)
}

fn write_page(host: &Host, vm: &TinyVm) -> Result<(), HostError> {
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    expect_out(vcpu.run(CPU_TIME)?)
}

fn expect_out(exit: Exit) -> Result<(), HostError> {
    if exit == Exit::out(PORT) {
        Ok(())
    } else {
        Err(HostError::Unexpected(format!(
            "a write of one byte: {exit}"
        )))
    }
}

/// The pages that KVM has logged since the last look, one bit each.
fn pages_in_log(vm: &TinyVm) -> Result<u64, HostError> {
    let log = vm.fd().get_dirty_log(0, vm.memory_len());
    Ok(log.step("KVM_GET_DIRTY_LOG")?.first().copied().unwrap_or(0))
}
