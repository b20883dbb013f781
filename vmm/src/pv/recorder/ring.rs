//! A ring of events with one writer and a fixed size: the oldest are lost, and how many is known.
//!
//! The writer never waits and never looks at a reader. A reader may come at any time: each slot
//! has a stamp that says which event is in it, before and after, so that a slot that was written
//! meanwhile is seen and left out (a sequence lock).

use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU64, fence, release, release_fence};

/// Words of an event.
pub(super) const WORDS: usize = 4;

/// An event as it lies in the ring.
pub(super) type Words = [u64; WORDS];

#[derive(Debug)]
struct Slot {
    /// Twice the number of the event, plus 1 once it is whole; numbers start at 1.
    stamp: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// A ring of events. [`Self::push`] is for one thread at a time.
#[derive(Debug)]
pub(super) struct Ring {
    slots: Box<[Slot]>,
    /// Events ever written, for the writer alone. No part of a model: loom does not see that a
    /// reader races with a store if the same thread has loaded the word before.
    own_written: std::sync::atomic::AtomicU64,
    /// The same for readers.
    written: AtomicU64,
}

/// What was in a ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// The events that are left, oldest first.
    pub(super) events: Vec<Words>,
    /// Events that later ones have taken the place of.
    pub(super) lost: u64,
}

impl Ring {
    /// An empty ring for the last `capacity` events, at least 1.
    pub(super) fn new(capacity: usize) -> Self {
        let slot = |_| Slot {
            stamp: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self {
            slots: (0..capacity.max(1)).map(slot).collect(),
            own_written: std::sync::atomic::AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    fn slot(&self, number: u64) -> &Slot {
        // The remainder is below the length, which is a usize.
        let at = usize::try_from(number % self.slots.len() as u64).unwrap_or(0);
        &self.slots[at]
    }

    /// Writes an event over the oldest. Only one thread may be here at a time: two would lose
    /// events.
    pub(super) fn push(&self, event: Words) {
        // Relaxed: only this thread has it.
        let number = self.own_written.load(std::sync::atomic::Ordering::Relaxed) + 1;
        self.own_written
            .store(number, std::sync::atomic::Ordering::Relaxed);
        let slot = self.slot(number);
        slot.stamp.store(number << 1, Relaxed);
        // Pairs with the fence in `read`: who sees a word of this event sees that the old stamp
        // is gone.
        release_fence();
        for (word, value) in slot.words.iter().zip(event) {
            word.store(value, Relaxed);
        }
        // Pairs with the Acquire in `read`: who sees the stamp sees the whole event.
        slot.stamp.store(number << 1 | 1, release());
        // Pairs with the Acquire in `contents`.
        self.written.store(number, Release);
    }

    /// The event of this number, unless it is being written over.
    fn read(&self, number: u64) -> Option<Words> {
        let slot = self.slot(number);
        let whole = number << 1 | 1;
        if slot.stamp.load(Acquire) != whole {
            return None;
        }
        let words = std::array::from_fn(|at| slot.words[at].load(Relaxed));
        fence(Acquire);
        (slot.stamp.load(Relaxed) == whole).then_some(words)
    }

    /// What is in it now. Events that the writer adds or writes over meanwhile may be missing.
    pub(super) fn contents(&self) -> Contents {
        let written = self.written.load(Acquire);
        let oldest = written.saturating_sub(self.slots.len() as u64) + 1;
        let events: Vec<_> = (oldest..=written)
            .filter_map(|number| self.read(number))
            .collect();
        Contents {
            lost: written - events.len() as u64,
            events,
        }
    }
}

#[cfg(all(test, loom))]
#[path = "ring_loom_test.rs"]
mod loom_tests;

#[cfg(all(test, not(loom)))]
#[path = "ring_test.rs"]
mod tests;
