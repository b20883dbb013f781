//! What was recorded of a machine that has been stopped.

use std::mem::size_of;

use guest_payload::abi::{LockObject, TRACE_EVENTS_MAX};

use super::Machine;
use super::results::{Header, PayloadView};
use crate::cpu::clock::host_tsc_of;
use crate::kvm::{attr, tsc};
use crate::pv::apic_id::VcpuIndex;
use crate::pv::recorder;
use crate::trace::recording::{GuestTrack, Locks, Recording, Track};
use crate::vcpu::Vcpu;

/// How a vCPU's TSC follows from the host's.
#[derive(Clone, Copy, Debug)]
struct GuestTsc {
    offset: u64,
    khz: u64,
}

impl Machine {
    /// The recording, where there is one. Once the machine has been stopped.
    pub fn recording(&self) -> Option<Recording> {
        let recorder = self.board.trace.recorder()?;
        let (start, end) = (recorder.start(), tsc::host_tsc());
        let tsc_khz = recorder.tsc_khz();
        let payload = self.payload().and_then(|view| Some((view, view.header()?)));
        let contents = recorder.contents().into_iter();
        let vcpus = contents.zip((0..).zip(self.board.all()));
        let vcpus = vcpus
            .map(|((host, host_lost), (index, shared))| {
                let stopped = self.stopped_vcpus().iter();
                let tsc = stopped
                    .filter(|vcpu| vcpu.index() == VcpuIndex(index))
                    .map(|vcpu| guest_tsc(vcpu, tsc_khz))
                    .next();
                let noted = payload
                    .as_ref()
                    .and_then(|(view, header)| self.noted(*view, header, shared.apic_id));
                let guest = noted.zip(tsc).map(|(noted, tsc)| {
                    let on_host = |guest| host_tsc_of(guest, tsc.offset, tsc.khz, tsc_khz);
                    GuestTrack::new(noted, on_host, start, end)
                });
                Track {
                    apic_id: shared.apic_id,
                    host,
                    host_lost,
                    guest: guest.unwrap_or_default(),
                }
            })
            .collect();
        Some(Recording {
            start,
            end,
            tsc_khz,
            halt_in: self.blueprint.halt_in,
            vcpus,
            rekicks: recorder.rekicks(),
            locks: payload.map_or_else(Locks::default, |(_, header)| locks(&header)),
        })
    }

    /// What the guest's CPU with this APIC ID noted.
    fn noted(
        &self,
        view: PayloadView<'_>,
        header: &Header,
        apic_id: u32,
    ) -> Option<crate::trace::guest::Noted> {
        let (number, written) = view.traced(header, apic_id)?;
        let vcpus = u32::try_from(self.board.all().len()).ok()?;
        let asked = recorder::ring_events(vcpus).min(TRACE_EVENTS_MAX);
        header.trace.read(&self.memory, asked, number, written)
    }
}

fn locks(header: &Header) -> Locks {
    Locks {
        gpa: header.locks_gpa,
        bytes: size_of::<LockObject>() as u64,
        count: header.lock_count,
    }
}

/// Without the attribute (before Linux 5.16) the guest's TSC is taken to be the host's; what lies
/// outside the recording then is left out.
fn guest_tsc(vcpu: &Vcpu, host_khz: u64) -> GuestTsc {
    GuestTsc {
        offset: attr::tsc_offset(vcpu.fd()).unwrap_or(0),
        khz: vcpu.fd().get_tsc_khz().map_or(host_khz, u64::from),
    }
}
