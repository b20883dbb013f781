//! Unhalting one vCPU by our own `pv_unhalted`.

use std::sync::{Arc, OnceLock};

use super::shared::VcpuShared;
use crate::pv::apic_id::{ApicMode, VcpuIndex};
use crate::pv::halt::Met;
use crate::pv::kick::{Unhalted, Waker};
use crate::sched::Scheduler;

/// `--halt vmm`: our own `pv_unhalted` and parking.
#[derive(Debug)]
pub struct ParkWaker {
    vcpus: Arc<OnceLock<Vec<Arc<VcpuShared>>>>,
    sched: Option<Arc<Scheduler>>,
}

impl ParkWaker {
    /// For the vCPUs that `vcpus` will hold, and who schedules them if the VMM does.
    pub fn new(vcpus: Arc<OnceLock<Vec<Arc<VcpuShared>>>>, sched: Option<Arc<Scheduler>>) -> Self {
        Self { vcpus, sched }
    }

    fn get(&self, vcpu: VcpuIndex) -> Option<&VcpuShared> {
        self.vcpus.get()?.get(vcpu.place()).map(AsRef::as_ref)
    }
}

impl Waker for ParkWaker {
    fn unhalt(&self, vcpu: VcpuIndex, _: u32) -> Unhalted {
        let Some(shared) = self.get(vcpu) else {
            return Unhalted::NotAccepted;
        };
        let Some(sched) = &self.sched else {
            return shared.halt.kick().into();
        };
        let met = shared.halt.kick_asleep();
        if met == Met::Halted {
            sched.kicked(vcpu.place());
        }
        met.into()
    }

    fn apic_mode(&self, vcpu: VcpuIndex) -> ApicMode {
        self.get(vcpu)
            .map_or(ApicMode::Disabled, VcpuShared::apic_mode)
    }
}
