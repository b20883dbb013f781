//! Unhalting one vCPU by our own `pv_unhalted`.

use std::sync::{Arc, OnceLock};

use super::shared::VcpuShared;
use crate::pv::apic_id::{ApicMode, VcpuIndex};
use crate::pv::kick::{Unhalted, Waker};

/// `--halt vmm`: our own `pv_unhalted` and parking.
#[derive(Debug)]
pub struct ParkWaker {
    vcpus: Arc<OnceLock<Vec<Arc<VcpuShared>>>>,
}

impl ParkWaker {
    /// For the vCPUs that `vcpus` will hold.
    pub fn new(vcpus: Arc<OnceLock<Vec<Arc<VcpuShared>>>>) -> Self {
        Self { vcpus }
    }

    fn get(&self, vcpu: VcpuIndex) -> Option<&VcpuShared> {
        let index = usize::try_from(vcpu.0).ok()?;
        self.vcpus.get()?.get(index).map(AsRef::as_ref)
    }
}

impl Waker for ParkWaker {
    fn unhalt(&self, vcpu: VcpuIndex, _: u32) -> Unhalted {
        self.get(vcpu)
            .map_or(Unhalted::NotAccepted, |vcpu| vcpu.halt.kick().into())
    }

    fn apic_mode(&self, vcpu: VcpuIndex) -> ApicMode {
        self.get(vcpu)
            .map_or(ApicMode::Disabled, VcpuShared::apic_mode)
    }
}
