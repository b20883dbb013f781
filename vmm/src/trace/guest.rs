//! The guest's own events, out of memory that a guest may have filled with anything.

use std::mem::{offset_of, size_of};

use guest_payload::abi::{RESULTS_MAGIC, RESULTS_VERSION, Results, TRACE_EVENTS_MAX, TraceEvent};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// What can happen in a slow path. The numbers are the ABI's.
pub use guest_payload::trace::Step as GuestStep;

const EVENT_BYTES: usize = size_of::<TraceEvent>();
/// No CPU notes more: at one event a ns it would take two years.
const WRITTEN_MAX: u64 = 1 << 56;

/// Something that happened in the guest, on one of its CPUs, in a slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestEvent {
    /// The host's TSC at that moment.
    pub tsc: u64,
    /// What.
    pub step: GuestStep,
    /// Guest address of the lock.
    pub lock: u64,
    /// The ticket waited for, or the one that comes next.
    pub ticket: u32,
    /// APIC ID of the CPU that is kicked; for [`GuestStep::Unlock`] only.
    pub target: u32,
}

/// Asks a guest that has not started for rings of `events` events, if its results page at `gpa`
/// is one of ours.
pub fn ask(memory: &GuestMemoryMmap, gpa: u64, events: u32) {
    let word = |offset: usize| gpa.checked_add(offset as u64).map(GuestAddress);
    let is_ours = || {
        let magic: u64 = memory.read_obj(word(offset_of!(Results, magic))?).ok()?;
        let version: u32 = memory.read_obj(word(offset_of!(Results, version))?).ok()?;
        Some(magic == RESULTS_MAGIC && version == RESULTS_VERSION)
    };
    if is_ours() == Some(true)
        && let Some(at) = word(offset_of!(Results, trace_events))
    {
        // Without it the guest's side is missing, which the trace says.
        let _ = memory.write_obj(events.min(TRACE_EVENTS_MAX), at);
    }
}

/// Where the rings of a guest are, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    /// Address of the first.
    pub gpa: u64,
    /// Events of each.
    pub events: u32,
}

/// What one CPU noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// What is left, oldest first, with the guest's own TSC.
    pub events: Vec<GuestEvent>,
    /// Events that later ones have taken the place of.
    pub lost: u64,
    /// Events that cannot be: an unknown step, or a TSC that goes back.
    pub invalid: u64,
}

impl Rings {
    /// Reads the ring of CPU `index`, whose results say that `written` events were noted. `None`
    /// where there is no such ring, or one of another size than the `asked` events: what the host
    /// reads must not grow by the guest's word.
    pub fn read(
        &self,
        memory: &GuestMemoryMmap,
        asked: u32,
        index: u32,
        written: u64,
    ) -> Option<Noted> {
        let is_possible = (1..=TRACE_EVENTS_MAX).contains(&self.events);
        if self.gpa == 0 || !is_possible || self.events != asked {
            return None;
        }
        let events = usize::try_from(self.events).ok()?;
        let ring_bytes = events.checked_mul(EVENT_BYTES)?;
        let offset = u64::from(index).checked_mul(ring_bytes as u64)?;
        let at = GuestAddress(self.gpa.checked_add(offset)?);
        let mut bytes = vec![0; ring_bytes];
        memory.read_slice(&mut bytes, at).ok()?;
        Some(parse(&bytes, events, written))
    }
}

fn parse(bytes: &[u8], events: usize, written: u64) -> Noted {
    if written > WRITTEN_MAX {
        // Which of them is the oldest nobody knows.
        return Noted {
            invalid: events as u64,
            ..Noted::default()
        };
    }
    // Stopped in the middle of a note, the CPU has begun to write over the oldest event.
    let kept = written.min(u64::from(u32::try_from(events).unwrap_or(0)).saturating_sub(1));
    let mut noted = Noted {
        lost: written - kept,
        ..Noted::default()
    };
    let (slots, _) = bytes.as_chunks::<EVENT_BYTES>();
    for number in written - kept..written {
        let at = usize::try_from(number % events as u64).unwrap_or(0);
        let event = slots.get(at).and_then(event);
        let last = noted.events.last().map_or(0, |event| event.tsc);
        match event.filter(|event| event.tsc >= last) {
            Some(event) => noted.events.push(event),
            None => noted.invalid += 1,
        }
    }
    noted
}

fn event(bytes: &[u8; EVENT_BYTES]) -> Option<GuestEvent> {
    let u32_at = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let u64_at = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    Some(GuestEvent {
        tsc: u64_at(offset_of!(TraceEvent, tsc))?,
        step: GuestStep::from_u32(u32_at(offset_of!(TraceEvent, step))?)?,
        lock: u64_at(offset_of!(TraceEvent, lock))?,
        ticket: u32_at(offset_of!(TraceEvent, ticket))?,
        target: u32_at(offset_of!(TraceEvent, target))?,
    })
}

#[cfg(test)]
#[path = "guest_test.rs"]
mod tests;
