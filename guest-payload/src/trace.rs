//! What a CPU notes of its slow paths: a ring of events in memory that the host reads.
//!
//! Only the slow path notes anything, and only where the host has asked for it before the start.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::abi::TraceEvent;
use crate::lock::LockAddress;

/// One step of a wait or of a release that kicks. The numbers are the ABI of
/// [`TraceEvent::step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// A waiter enters the slow path.
    Enter = 1,
    /// It halts.
    Halt = 2,
    /// The first instruction after the halt.
    Awake = 3,
    /// It has the lock.
    Acquire = 4,
    /// A release found somebody to kick.
    Unlock = 5,
}

impl Step {
    /// The step that `number` stands for.
    pub const fn from_u32(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Enter),
            2 => Some(Self::Halt),
            3 => Some(Self::Awake),
            4 => Some(Self::Acquire),
            5 => Some(Self::Unlock),
            _ => None,
        }
    }
}

/// One CPU's ring. Only that CPU writes it.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    events: &'a [TraceEvent],
    written: &'a AtomicU64,
}

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The lock.
    pub lock: LockAddress,
    /// The ticket waited for or, at a release, the next one.
    pub ticket: u32,
    /// APIC ID of who is kicked; 0 for other steps.
    pub target: u32,
}

impl<'a> Trace<'a> {
    /// A ring in `events`, with the number of events ever noted in `written`. `None` without room.
    pub fn new(events: &'a [TraceEvent], written: &'a AtomicU64) -> Option<Self> {
        (!events.is_empty()).then_some(Self { events, written })
    }

    /// Notes `step` over the oldest event.
    pub fn note(&self, tsc: u64, step: Step, about: About) {
        // Relaxed: the host reads it once this CPU stands still.
        let number = self.written.load(Relaxed);
        let at = usize::try_from(number % self.events.len() as u64).unwrap_or(usize::MAX);
        let Some(event) = self.events.get(at) else {
            return;
        };
        event.tsc.store(tsc, Relaxed);
        event.lock.store(about.lock.get(), Relaxed);
        event.ticket.store(about.ticket, Relaxed);
        event.step.store(step as u32, Relaxed);
        event.target.store(about.target, Relaxed);
        self.written.store(number + 1, Relaxed);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_last_events() {
        let events: [TraceEvent; 3] = Default::default();
        let written = AtomicU64::new(0);
        let trace = Trace::new(&events, &written).unwrap();
        let about = |ticket| About {
            lock: LockAddress::of(&written),
            ticket,
            target: 7,
        };
        for ticket in 0..5 {
            trace.note(100 + u64::from(ticket), Step::Halt, about(ticket));
        }
        assert_eq!(written.load(Relaxed), 5);
        let kept = events.each_ref().map(|event| event.ticket.load(Relaxed));
        assert_eq!(kept, [3, 4, 2]);
        assert_eq!(events[1].tsc.load(Relaxed), 104);
        assert_eq!(events[1].lock.load(Relaxed), about(0).lock.get());
        assert_eq!(events[1].target.load(Relaxed), 7);
        let step = Step::from_u32(events[1].step.load(Relaxed));
        assert_eq!(step, Some(Step::Halt));
    }

    #[test]
    fn there_is_no_ring_without_room() {
        assert!(Trace::new(&[], &AtomicU64::new(0)).is_none());
    }

    #[test]
    fn every_number_is_its_steps() {
        for number in 0..10 {
            let step = Step::from_u32(number);
            assert!(step.is_none_or(|step| step as u32 == number));
            assert_eq!(step.is_some(), (1..=5).contains(&number));
        }
    }
}
