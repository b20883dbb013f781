//! What a machine's vCPUs do and have done, while they run: nobody is stopped for it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use super::{Machine, summary};
use crate::kvm::stats::StatsFd;
use crate::pv::HaltIn;
use crate::pv::apic_id::VcpuIndex;
use crate::pv::halt::Doing;
use crate::report::cpu_counts::CpuCounts;
use crate::report::percentile::{CycleHistogram, WaitNs};
use crate::report::run::Kicks;

/// One vCPU at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveVcpu {
    /// Its APIC ID.
    pub apic_id: u32,
    /// What it does; `None` where KVM does not tell.
    pub doing: Option<Doing>,
    /// Exits to the VMM.
    pub exits: u64,
    /// The same by their reasons, those that there were.
    pub exits_by_reason: BTreeMap<String, u64>,
    /// Exits to KVM, where it tells.
    pub kvm_exits: Option<u64>,
    /// Times it halted.
    pub halts: u64,
    /// Kicks that it sent; `None` where neither VMM nor guest counts.
    pub kicks_sent: Option<u64>,
    /// Kicks that it got; `None` where KVM takes them.
    pub kicks_received: Option<u64>,
    /// Locks that it took, where the payload runs.
    pub acquisitions: Option<u64>,
}

/// A machine at one moment. What is in it was read one after the other while the guest ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The kicks that the VMM handled; `None` where KVM takes them.
    pub kicks: Option<Kicks>,
    /// Waits for locks since the workload began, where the payload runs.
    pub wait_ns: Option<WaitNs>,
    /// By index.
    pub vcpus: Vec<LiveVcpu>,
}

impl Machine {
    /// Looks at it.
    pub fn live(&self) -> Live {
        let payload = self.payload().and_then(|view| Some((view, view.header()?)));
        let cpus = payload
            .as_ref()
            .map_or_else(Vec::new, |(view, header)| view.cpus(header));
        let mut waits = CycleHistogram::default();
        cpus.iter()
            .for_each(|cpu| waits.add(&cpu.wait, cpu.wait_max_cycles));
        let tsc_khz = payload.map_or(0, |(_, header)| header.tsc_khz);
        let by_vmm = summary::takes_kicks(self);
        Live {
            kicks: by_vmm.then(|| summary::kicks(self)),
            wait_ns: waits.waits_ns(tsc_khz),
            vcpus: self.live_vcpus(&cpus),
        }
    }

    /// Notes what the vCPUs do, before they stand still: then none of them is blocked in KVM.
    pub(super) fn note_what_they_do(&self) {
        let stats = self.kvm_stats.get().map_or(&[][..], Vec::as_slice);
        for (vcpu, kvm) in self.board.all().iter().zip(stats) {
            let (blocking, exits) = (read(kvm, "blocking"), read(kvm, "exits"));
            vcpu.set_known(doing(blocking, exits, vcpu.known()));
        }
    }

    fn live_vcpus(&self, cpus: &[CpuCounts]) -> Vec<LiveVcpu> {
        let stats = self.kvm_stats.get().map_or(&[][..], Vec::as_slice);
        let by_vmm = summary::takes_kicks(self);
        let stands_still = self.pauses.are_on();
        let live = |(index, vcpu): (u32, &std::sync::Arc<crate::vcpu::shared::VcpuShared>)| {
            let cpu = cpus.iter().find(|cpu| cpu.apic_id == vcpu.apic_id);
            let kvm = usize::try_from(index).ok().and_then(|at| stats.get(at));
            let kvm = |name| read(kvm?, name);
            let kicks = self.board.kick.of_vcpu(VcpuIndex(index)).filter(|_| by_vmm);
            let mut exits_by_reason = BTreeMap::new();
            vcpu.exits.add_to(&mut exits_by_reason);
            let kvm_exits = kvm("exits");
            let (doing, kvm_halts) = match self.blueprint.halt_in {
                HaltIn::Vmm => (Some(vcpu.halt.doing()), None),
                HaltIn::Kvm => {
                    let doing = match (stands_still, vcpu.known()) {
                        (true, Some(known)) => Some(known),
                        (_, known) => doing(kvm("blocking"), kvm_exits, known),
                    };
                    (doing, kvm("halt_exits"))
                }
            };
            LiveVcpu {
                apic_id: vcpu.apic_id,
                doing,
                exits: vcpu.exits.total(),
                exits_by_reason,
                kvm_exits,
                halts: vcpu.halts().saturating_add(kvm_halts.unwrap_or(0)),
                kicks_sent: kicks
                    .map(|kicks| kicks.sent.load(Relaxed))
                    .or(cpu.map(|cpu| cpu.kicks_sent)),
                kicks_received: kicks.map(|kicks| kicks.received.load(Relaxed)),
                acquisitions: cpu.map(|cpu| cpu.acquisitions),
            }
        };
        (0..).zip(self.board.all()).map(live).collect()
    }
}

fn read(stats: &StatsFd, name: &str) -> Option<u64> {
    stats.read_one(stats.find(name)?).ok()
}

/// KVM has a vCPU blocked that is halted, and one that waits for SIPI. The latter has never been in
/// the guest, and neither has one that came here halted: that was `known` then.
fn doing(blocking: Option<u64>, exits: Option<u64>, known: Option<Doing>) -> Option<Doing> {
    match (blocking?, exits, known) {
        (0, _, _) => Some(Doing::Runs),
        (_, Some(0), Some(Doing::Halted)) => Some(Doing::Halted),
        (_, Some(0), _) => Some(Doing::WaitsForSipi),
        (_, _, _) => Some(Doing::Halted),
    }
}

#[cfg(test)]
#[path = "live_test.rs"]
mod tests;
