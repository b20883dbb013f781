//! The word as loom can model it: loom has no accesses of two sizes to one place.
//!
//! Both models keep tickets in `u32`s that never wrap: no model hands out that many. Both note
//! every access to a word that has been freed.

use super::{TicketPair, Tickets};
use crate::lock::tickets::SLOW_PATH_FLAG;
use crate::sync::{
    AtomicU32, Barrier,
    Ordering::{self, AcqRel, Acquire, Relaxed, Release},
    full_barrier,
    model::{Life, is_kept},
};

/// `head` and `tail` as two atomics: for locks whose flag is in `tail`.
///
/// What it must show is a read of one half that is older than an access to the other: the barrier
/// of V8's unlock stands against just that. Two points are not literally the processor's:
/// - [`take_ticket`](TicketPair::take_ticket) reads the head after it took the ticket and may
///   read an older one: more interleavings, and one turn of the spin loop more at worst.
/// - [`replace`](TicketPair::replace) compares `tail` only. It is called with `old.head ==
///   old.tail` (but for the flag): nobody held or wanted the lock. The head moves only by a
///   holder, who would have moved the tail first, so an unmoved tail means an unmoved head.
#[derive(Debug)]
pub struct Halves {
    head: AtomicU32,
    tail: AtomicU32,
    life: Life,
}

impl TicketPair for Halves {
    fn new() -> Self {
        Self {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            life: Life::default(),
        }
    }

    fn life(&self) -> &Life {
        &self.life
    }

    fn fill(&self, with: Tickets) {
        self.head.store(with.head, Relaxed);
        self.tail.store(with.tail, Relaxed);
    }

    fn take_ticket(&self, increment: u32) -> Tickets {
        self.life.touch();
        let tail = self.tail.fetch_add(increment, AcqRel);
        Tickets {
            head: self.head.load(Acquire),
            tail,
        }
    }

    fn head(&self) -> u32 {
        self.life.touch();
        self.head.load(Acquire)
    }

    fn tail(&self) -> u32 {
        self.life.touch();
        self.tail.load(Acquire)
    }

    fn load(&self) -> Tickets {
        self.life.touch();
        Tickets {
            head: self.head.load(Relaxed),
            tail: self.tail.load(Relaxed),
        }
    }

    fn release(&self, increment: u32) {
        self.life.touch();
        let served = self.head.load(Relaxed);
        self.head.store(served + increment, Release);
    }

    fn release_locked(&self, increment: u32) {
        if is_kept(Barrier::Release) {
            self.release_and_read(increment);
        } else {
            // What the seed's note warns of: the add without its lock prefix.
            self.release(increment);
        }
    }

    fn release_and_read(&self, increment: u32) -> u32 {
        self.life.touch();
        let served = self.head.fetch_add(increment, AcqRel);
        full_barrier(Barrier::Release);
        served
    }

    fn flag_tail(&self) {
        self.life.touch();
        self.tail.fetch_or(SLOW_PATH_FLAG, AcqRel);
        full_barrier(Barrier::Announce);
    }

    fn flag_head(&self) {
        self.life.touch();
        self.head.fetch_or(SLOW_PATH_FLAG, AcqRel);
        full_barrier(Barrier::Announce);
    }

    fn replace(&self, old: Tickets, new: Tickets) -> bool {
        self.life.touch();
        self.tail
            .compare_exchange(old.tail, new.tail, AcqRel, Relaxed)
            .is_ok()
    }
}

/// `head` and `tail` as one atomic: for the lock whose flag is in `head`.
///
/// Its cmpxchg compares the tail while it changes the head, so the two must be one. Nothing is
/// lost by it: this lock's protocol has flag and head in one place, and no CPU reads one half
/// after it wrote the other. So the two barriers of this lock are no fences: with the flag comes
/// the announcement (Release), and who sees the flag sees it (Acquire). Without
/// [`Barrier::Announce`] the flag is set Relaxed, without [`Barrier::Release`] the release does
/// not acquire.
#[derive(Debug)]
pub struct Whole {
    pair: AtomicU32,
    life: Life,
}

const HALF_BITS: u32 = 16;

impl Whole {
    fn split(pair: u32) -> Tickets {
        Tickets {
            head: pair & ((1 << HALF_BITS) - 1),
            tail: pair >> HALF_BITS,
        }
    }

    fn join(tickets: Tickets) -> u32 {
        tickets.tail << HALF_BITS | tickets.head
    }

    fn read(&self, ordering: Ordering) -> Tickets {
        self.life.touch();
        Self::split(self.pair.load(ordering))
    }
}

impl TicketPair for Whole {
    fn new() -> Self {
        Self {
            pair: AtomicU32::new(0),
            life: Life::default(),
        }
    }

    fn life(&self) -> &Life {
        &self.life
    }

    fn fill(&self, with: Tickets) {
        self.pair.store(Self::join(with), Relaxed);
    }

    fn take_ticket(&self, increment: u32) -> Tickets {
        self.life.touch();
        Self::split(self.pair.fetch_add(increment << HALF_BITS, AcqRel))
    }

    fn head(&self) -> u32 {
        self.read(Acquire).head
    }

    fn tail(&self) -> u32 {
        self.read(Acquire).tail
    }

    fn load(&self) -> Tickets {
        self.read(Relaxed)
    }

    fn release(&self, increment: u32) {
        self.life.touch();
        self.pair.fetch_add(increment, Release);
    }

    fn release_locked(&self, increment: u32) {
        self.release_and_read(increment);
    }

    fn release_and_read(&self, increment: u32) -> u32 {
        self.life.touch();
        let ordering = if is_kept(Barrier::Release) {
            AcqRel
        } else {
            Release
        };
        Self::split(self.pair.fetch_add(increment, ordering)).head
    }

    fn flag_tail(&self) {
        self.life.touch();
        self.pair.fetch_or(SLOW_PATH_FLAG << HALF_BITS, AcqRel);
    }

    fn flag_head(&self) {
        self.life.touch();
        let ordering = if is_kept(Barrier::Announce) {
            AcqRel
        } else {
            Relaxed
        };
        self.pair.fetch_or(SLOW_PATH_FLAG, ordering);
    }

    fn replace(&self, old: Tickets, new: Tickets) -> bool {
        self.life.touch();
        self.pair
            .compare_exchange(Self::join(old), Self::join(new), AcqRel, Relaxed)
            .is_ok()
    }
}
