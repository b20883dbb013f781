//! Unhalting one vCPU by KVM's own `pv_unhalted`. The only ioctl in `pv`.

use std::fmt;
use std::sync::Arc;

use kvm_bindings::kvm_msi;
use kvm_ioctls::VmFd;

use super::apic_id::{ApicMode, VcpuIndex};
use super::kick::{Unhalted, Waker};

/// Delivery mode "remote read" (`APIC_DM_REMRD`): what KVM's own kick sends.
const MSI_DATA_REMRD: u32 = 0x300;
const MSI_ADDRESS: u32 = 0xfee0_0000;

/// `--halt kvm`: an MSI with delivery mode "remote read" sets KVM's `pv_unhalted`.
pub struct KvmWaker {
    vm: Arc<VmFd>,
    is_blocking: Box<dyn Fn(VcpuIndex) -> bool + Send + Sync>,
}

impl fmt::Debug for KvmWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvmWaker").finish_non_exhaustive()
    }
}

impl KvmWaker {
    /// For the vCPUs of `vm`. `is_blocking` says whether KVM has a vCPU blocked right now; it only
    /// tells kicks to halted vCPUs from kicks to running ones in the statistics.
    pub fn new(
        vm: Arc<VmFd>,
        is_blocking: impl Fn(VcpuIndex) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            vm,
            is_blocking: Box::new(is_blocking),
        }
    }
}

/// The MSI that is a kick for `apic_id`, with 32-bit IDs (`KVM_X2APIC_API_USE_32BIT_IDS`).
pub fn kick_msi(apic_id: u32) -> kvm_msi {
    kvm_msi {
        address_lo: MSI_ADDRESS | (apic_id & 0xff) << 12,
        address_hi: apic_id & 0xffff_ff00,
        data: MSI_DATA_REMRD,
        ..kvm_msi::default()
    }
}

impl Waker for KvmWaker {
    fn unhalt(&self, vcpu: VcpuIndex, apic_id: u32) -> Unhalted {
        let halted = (self.is_blocking)(vcpu);
        // KVM returns the number of targets: 0 while the local APIC accepts nothing.
        match self.vm.signal_msi(kick_msi(apic_id)) {
            Ok(count) if count > 0 && halted => Unhalted::WasHalted,
            Ok(count) if count > 0 => Unhalted::WasRunning,
            _ => Unhalted::NotAccepted,
        }
    }

    /// KVM keeps the mode and does not tell other threads. x2APIC matches whole IDs, which is
    /// right for every ID up to 254 and for guests that use IDs above, since those need x2APIC.
    fn apic_mode(&self, _: VcpuIndex) -> ApicMode {
        ApicMode::X2Apic
    }
}
