//! Making the vCPUs.

use std::sync::{Arc, OnceLock};

use kvm_bindings::{KVM_CAP_ENFORCE_PV_FEATURE_CPUID, kvm_enable_cap};
use kvm_ioctls::VcpuFd;

use super::Error;
use crate::boot::pvh_registers;
use crate::cpu::cpuid::CpuidTemplate;
use crate::kvm::immediate_exit::ImmediateExit;
use crate::kvm::stats::{StatsError, StatsFd};
use crate::pv::apic_id::VcpuIndex;
use crate::pv::halt::HaltState;
use crate::vcpu::Vcpu;
use crate::vcpu::board::Board;
use crate::vcpu::shared::VcpuShared;

/// Makes a vCPU of each of `fds`. All but the first wait for SIPI. Without a `template` they have no
/// CPUID yet.
///
/// # Errors
/// [`Error::Vcpu`], [`Error::System`].
pub(super) fn make(
    fds: Vec<VcpuFd>,
    apic_ids: &[u32],
    enforce_pv: bool,
    mut template: Option<&mut CpuidTemplate>,
    board: &Arc<Board>,
) -> Result<Vec<Vcpu>, Error> {
    let mut vcpus = Vec::with_capacity(fds.len());
    for ((index, &apic_id), fd) in (0..).zip(apic_ids).zip(fds) {
        let refused = |error| Error::Vcpu(index, apic_id, error);
        if let Some(template) = &mut template {
            fd.set_cpuid2(template.for_vcpu(index)).map_err(refused)?;
        }
        if enforce_pv {
            enforce_pv_features(&fd).map_err(refused)?;
        }
        let immediate_exit =
            ImmediateExit::map(&fd).map_err(|e| Error::System("mmap of kvm_run".to_owned(), e))?;
        let halt = if index == 0 {
            HaltState::default()
        } else {
            HaltState::waiting_for_sipi()
        };
        let shared = Arc::new(VcpuShared::new(apic_id, immediate_exit, halt));
        vcpus.push(Vcpu::new(VcpuIndex(index), fd, shared, Arc::clone(board)).map_err(refused)?);
    }
    Ok(vcpus)
}

fn enforce_pv_features(fd: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    let mut cap = kvm_enable_cap {
        cap: KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
        ..kvm_enable_cap::default()
    };
    cap.args[0] = 1;
    fd.enable_cap(&cap)
}

/// Has the first vCPU start at a PVH entry point.
///
/// # Errors
/// What KVM says.
pub(super) fn start_at_entry(
    fd: &VcpuFd,
    entry: u32,
    start_info: u64,
) -> Result<(), kvm_ioctls::Error> {
    let mut sregs = fd.get_sregs()?;
    pvh_registers::set_pvh_sregs(&mut sregs);
    fd.set_sregs(&sregs)?;
    let start_info = u32::try_from(start_info).unwrap_or(u32::MAX);
    fd.set_regs(&pvh_registers::pvh_regs(entry, start_info))
}

/// Opens the vCPUs' statistics.
///
/// # Errors
/// [`StatsError`].
pub(super) fn open_stats(vcpus: &[Vcpu]) -> Result<Vec<StatsFd>, StatsError> {
    let mut opened: Vec<StatsFd> = Vec::with_capacity(vcpus.len());
    for vcpu in vcpus {
        let stats = match opened.first() {
            None => StatsFd::from_vcpu(vcpu.fd()),
            Some(first) => StatsFd::from_vcpu_like(vcpu.fd(), first),
        };
        opened.push(stats?);
    }
    Ok(opened)
}

/// Whether KVM has a vCPU blocked right now, from its binary statistics.
pub(super) fn is_blocking(
    stats: Arc<OnceLock<Vec<StatsFd>>>,
) -> impl Fn(VcpuIndex) -> bool + Send + Sync + 'static {
    move |vcpu| {
        let blocking = || {
            let stats = stats.get()?.get(usize::try_from(vcpu.0).ok()?)?;
            stats.read_one(stats.find("blocking")?).ok()
        };
        blocking().is_some_and(|value| value != 0)
    }
}
