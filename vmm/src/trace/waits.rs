//! A vCPU as the target of kicks: when it halted, woke and ran.

use super::guest::{GuestEvent, GuestStep};
use super::recording::Track;
use super::wait_index::WaitIndex;
use crate::pv::HaltIn;
use crate::pv::recorder::HostStep;

/// One halt of a vCPU under the VMM's eyes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Halt {
    /// 0 where its begin is lost.
    pub(super) begin: u64,
    pub(super) woke: u64,
    /// It entered the guest.
    pub(super) runs: Option<u64>,
}

/// A vCPU as a target.
pub(super) struct Waits<'a> {
    track: &'a Track,
    /// As its thread saw them, under `--halt vmm`.
    pub(super) halts: Vec<Halt>,
    /// As the guest saw them, where it notes them.
    guest_halts: Vec<Halt>,
    /// Under `--halt kvm`.
    pub(super) seen: Vec<u64>,
    /// The guest's waits, by lock and ticket.
    pub(super) guest: WaitIndex<'a>,
}

impl<'a> Waits<'a> {
    pub(super) fn new(track: &'a Track) -> Self {
        let (mut halts, mut seen) = (Vec::<Halt>::new(), Vec::new());
        let mut begin = 0;
        for event in &track.host {
            match event.what {
                HostStep::Halted => begin = event.tsc,
                HostStep::Woke => halts.push(Halt {
                    begin,
                    woke: event.tsc,
                    runs: None,
                }),
                HostStep::Runs => {
                    if let Some(halt) = halts.last_mut() {
                        halt.runs.get_or_insert(event.tsc);
                    }
                }
                HostStep::Seen => seen.push(event.tsc),
                HostStep::Kick { .. } | HostStep::Unhalt { .. } => {}
            }
        }
        Self {
            track,
            halts,
            guest_halts: guest_halts(&track.guest.events),
            seen,
            guest: WaitIndex::new(&track.guest.events),
        }
    }

    /// The halts that are known best.
    pub(super) fn known_halts(&self, halt_in: HaltIn) -> &[Halt] {
        match halt_in {
            HaltIn::Vmm => &self.halts,
            HaltIn::Kvm => &self.guest_halts,
        }
    }

    /// What is known of it begins here.
    pub(super) fn first(&self) -> u64 {
        match (self.track.host_lost, self.track.host.first()) {
            (0, _) | (_, None) => 0,
            (_, Some(event)) => event.tsc,
        }
    }

    /// The last that is known of it.
    pub(super) fn last(&self) -> u64 {
        let host = self.track.host.last().map_or(0, |event| event.tsc);
        let guest = self.track.guest.events.last().map_or(0, |event| event.tsc);
        host.max(guest)
    }

    /// The halt that a kick ended which was handed over from `begin` to `done`.
    pub(super) fn halt_ended_by(&self, begin: u64, done: u64) -> Option<&Halt> {
        let first = self.halts.partition_point(|halt| halt.woke < begin);
        self.halts.get(first).filter(|halt| halt.begin <= done)
    }
}

fn guest_halts(events: &[GuestEvent]) -> Vec<Halt> {
    let mut halts = Vec::new();
    let mut begin = 0;
    for event in events {
        match event.step {
            GuestStep::Halt => begin = event.tsc,
            GuestStep::Awake => halts.push(Halt {
                begin,
                woke: event.tsc,
                runs: None,
            }),
            GuestStep::Enter | GuestStep::Acquire | GuestStep::Unlock => {}
        }
    }
    halts
}
