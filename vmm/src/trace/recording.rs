//! All that was recorded of one machine, with every time on the host's TSC.

use super::guest::GuestEvent;
use crate::pv::HaltIn;
use crate::pv::recorder::HostEvent;

/// A machine's events, as they are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// When recording began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Rate of the host's TSC.
    pub tsc_khz: u64,
    /// Where halted vCPUs waited.
    pub halt_in: HaltIn,
    /// By index.
    pub vcpus: Vec<Track>,
    /// Kicks that the VMM gave back by itself.
    pub rekicks: u64,
    /// Where the guest's locks are: address of the first, bytes of each and how many.
    pub locks: Locks,
}

/// The guest's array of locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// Address of the first.
    pub gpa: u64,
    /// Bytes of each.
    pub bytes: u64,
    /// How many.
    pub count: u64,
}

impl Locks {
    /// The number of the lock at `address`.
    pub fn index(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.gpa)?;
        let index = offset.checked_div(self.bytes)?;
        (offset % self.bytes == 0 && index < self.count).then_some(index)
    }
}

/// One vCPU's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// Its APIC ID.
    pub apic_id: u32,
    /// What its thread noted, oldest first.
    pub host: Vec<HostEvent>,
    /// Older ones that are lost.
    pub host_lost: u64,
    /// What the guest noted on it.
    pub guest: GuestTrack,
}

/// What one vCPU's guest noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestTrack {
    /// Oldest first.
    pub events: Vec<GuestEvent>,
    /// Older ones that are lost, and those of before the recording.
    pub lost: u64,
    /// Those that cannot be.
    pub invalid: u64,
}

impl GuestTrack {
    /// Takes over what a guest noted, with its times brought to the host's TSC by `on_host`. Only
    /// what lies within the recording is believed.
    pub fn new(
        noted: super::guest::Noted,
        on_host: impl Fn(u64) -> u64,
        start: u64,
        end: u64,
    ) -> Self {
        let mut track = Self {
            lost: noted.lost,
            invalid: noted.invalid,
            events: Vec::new(),
        };
        for event in noted.events {
            let tsc = on_host(event.tsc);
            if tsc < start {
                track.lost += 1;
            } else if tsc > end {
                track.invalid += 1;
            } else {
                track.events.push(GuestEvent { tsc, ..event });
            }
        }
        track
    }
}

impl Recording {
    /// The vCPU with this APIC ID.
    pub fn vcpu_of(&self, apic_id: u32) -> Option<usize> {
        self.vcpus.iter().position(|track| track.apic_id == apic_id)
    }

    /// `tsc` in ns since the start.
    pub fn ns(&self, tsc: u64) -> u64 {
        let cycles = u128::from(tsc.saturating_sub(self.start));
        let ns = (cycles * 1_000_000).checked_div(u128::from(self.tsc_khz));
        ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
    }
}
