//! Making the vCPUs.

use std::sync::{Arc, OnceLock};

use kvm_bindings::{KVM_CAP_ENFORCE_PV_FEATURE_CPUID, kvm_enable_cap};
use kvm_ioctls::VcpuFd;

use super::Error;
use crate::boot::{Entry, registers};
use crate::cpu::cpuid::CpuidTemplate;
use crate::kvm::immediate_exit::ImmediateExit;
use crate::kvm::stats::{StatsError, StatsFd};
use crate::pv::apic_id::VcpuIndex;
use crate::pv::halt::HaltState;
use crate::vcpu::Vcpu;
use crate::vcpu::board::Board;
use crate::vcpu::shared::VcpuShared;

/// The halt words of so many vCPUs. All but the first wait for SIPI.
pub(super) fn halts(vcpus: usize) -> Vec<Arc<HaltState>> {
    let halt = |index| match index {
        0 => HaltState::default(),
        _ => HaltState::waiting_for_sipi(),
    };
    (0..vcpus).map(halt).map(Arc::new).collect()
}

/// Makes a vCPU of each of `fds`. Without a `template` they have no
/// CPUID yet.
///
/// # Errors
/// [`Error::Vcpu`], [`Error::System`].
pub(super) fn make(
    fds: Vec<VcpuFd>,
    apic_ids: &[u32],
    halts: Vec<Arc<HaltState>>,
    enforce_pv: bool,
    mut template: Option<&mut CpuidTemplate>,
    board: &Arc<Board>,
) -> Result<Vec<Vcpu>, Error> {
    let mut vcpus = Vec::with_capacity(fds.len());
    for (((index, &apic_id), fd), halt) in (0..).zip(apic_ids).zip(fds).zip(halts) {
        let refused = |error| Error::Vcpu(index, apic_id, error);
        if let Some(template) = &mut template {
            fd.set_cpuid2(template.for_vcpu(index)).map_err(refused)?;
        }
        if enforce_pv {
            enforce_pv_features(&fd).map_err(refused)?;
        }
        let immediate_exit =
            ImmediateExit::map(&fd).map_err(|e| Error::System("mmap of kvm_run".to_owned(), e))?;
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

/// Has the first vCPU start where the guest's image says.
///
/// # Errors
/// What KVM says.
pub(super) fn start_at(fd: &VcpuFd, entry: Entry) -> Result<(), kvm_ioctls::Error> {
    let mut sregs = fd.get_sregs()?;
    let regs = registers::start(entry, &mut sregs);
    fd.set_sregs(&sregs)?;
    fd.set_regs(&regs)
}

/// Wires a PC's local APIC as its firmware leaves it: the PIC's INTR at LINT0 of the first vCPU,
/// NMI at LINT1 of all (Intel MP specification 1.4, 3.6.2.1 "Virtual Wire Mode").
///
/// # Errors
/// What KVM says.
pub(super) fn wire_local_interrupts(
    fd: &VcpuFd,
    index: VcpuIndex,
) -> Result<(), kvm_ioctls::Error> {
    const LVT_LINT0: usize = 0x350;
    const LVT_LINT1: usize = 0x360;
    const DELIVERY_EXTINT: u32 = 0b111 << 8;
    const DELIVERY_NMI: u32 = 0b100 << 8;
    let mut lapic = fd.get_lapic()?;
    let mut set = |register: usize, value: u32| {
        for (to, from) in lapic.regs[register..].iter_mut().zip(value.to_le_bytes()) {
            *to = from.cast_signed();
        }
    };
    if index.0 == 0 {
        set(LVT_LINT0, DELIVERY_EXTINT);
    }
    set(LVT_LINT1, DELIVERY_NMI);
    fd.set_lapic(&lapic)
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
