//! The preemptable ticket lock (Ouyang and Lange, VEE'13): a ticket lock whose order a waiter may
//! break where it costs too much to keep.
//!
//! Tickets order the CPUs, a byte keeps all but one out. A waiter with `n` CPUs before it lets `n`
//! times the threshold pass without a change at the head; then it takes the lock if that is free,
//! as of a test-and-set lock. So a waiter that lost its pCPU is passed over after a while, and one
//! further back waits longer than one further in front, which keeps the order in almost all cases.
//! It never halts: `threshold` is its unit of time.
//!
//! | operation | ordering | pairs with | loom model |
//! |---|---|---|---|
//! | cmpxchg, store | Acquire, Release | each other; the tickets are hints | H `preemptable_ticket::…` |

use crate::lock::address::LockAddress;
use crate::lock::word::{TicketPair, Width};
use crate::lock::{Facts, LockWordView, RawLock, Tickets, tickets};
use crate::pv::PvLockOps;
use crate::sync::{
    AtomicU8,
    Ordering::{Acquire, Relaxed, Release},
    spin_hint,
};

const INCREMENT: u32 = 1;
const FREE: u8 = 0;
const HELD: u8 = 1;

/// Preemptable ticket lock with tickets of width `W`.
#[derive(Debug)]
#[repr(C)]
pub struct PreemptableTicket<W: Width> {
    /// The head counts the releases, whoever came to do them: `tail - head` CPUs hold or want the
    /// lock.
    word: W::Pair,
    held: AtomicU8,
}

impl<W: Width> RawLock for PreemptableTicket<W> {
    const FACTS: Facts = Facts {
        what: "Ouyang and Lange (VEE'13): a waiter with *n* before it that sees no progress for *n* thresholds takes the lock out of order; no slow path",
        bytes: "head, tail, as `ticket`; then `u8` held",
        ticket_increment: INCREMENT,
        max_cpus: (1 << W::BITS.bits()) / INCREMENT,
        ..Facts::PLAIN
    };

    #[cfg(not(loom))]
    const INIT: Self = Self {
        word: W::Pair::INIT,
        held: AtomicU8::new(FREE),
    };

    #[cfg(loom)]
    fn unlocked() -> Self {
        Self {
            word: W::Pair::new(),
            held: AtomicU8::new(FREE),
        }
    }

    #[cfg(loom)]
    fn free(&self) {
        self.word.life().end();
        self.word.fill(Tickets::poison(W::BITS));
        self.held.store(crate::abi::POISON_BYTE, Relaxed);
    }

    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life {
        self.word.life()
    }

    fn view(bytes: &[u8]) -> Option<LockWordView> {
        tickets::view(W::BITS, INCREMENT, bytes.get(..size_of::<W::Pair>())?)
    }

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        let taken = self.word.take_ticket(INCREMENT);
        if taken.head != taken.tail || !self.try_lock() {
            self.spin(pv, taken.tail);
        }
        taken.tail
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, _pv: &P) {
        // The head first: with the byte the lock is gone.
        self.word.release(INCREMENT);
        self.touch();
        // Release pairs with the Acquire of `try_lock`.
        self.held.store(FREE, Release);
    }
}

impl<W: Width> PreemptableTicket<W> {
    /// By cmpxchg, so that a failure writes nothing: loom does not order the write of a failed xchg
    /// before the release that it raced with.
    #[inline(always)]
    fn try_lock(&self) -> bool {
        self.touch();
        self.held
            .compare_exchange(FREE, HELD, Acquire, Relaxed)
            .is_ok()
    }

    #[cold]
    #[inline(never)]
    fn spin<P: PvLockOps>(&self, pv: &P, want: u32) {
        let mut last_head = want;
        let mut turns = 0_u32;
        loop {
            // A hint only, so Relaxed: `held` decides.
            let now = self.word.load();
            if now.head != last_head {
                last_head = now.head;
                turns = 0;
            }
            let patience = ahead_of::<W>(want, now).saturating_mul(pv.threshold());
            if turns >= patience && self.is_free() && self.try_lock() {
                return;
            }
            spin_hint();
            turns = turns.saturating_add(1);
            pv.spun(LockAddress::of(self), want, now.head);
        }
    }

    #[inline(always)]
    fn is_free(&self) -> bool {
        self.touch();
        self.held.load(Relaxed) == FREE
    }

    /// Notes that the byte is accessed; the word notes it itself.
    #[inline(always)]
    fn touch(&self) {
        #[cfg(loom)]
        self.word.life().touch();
    }
}

/// How many are to be served before ticket `want`; none if it was passed over.
fn ahead_of<W: Width>(want: u32, now: Tickets) -> u32 {
    let ahead = W::BITS.distance(now.head, want);
    // A ticket behind the head looks as if it had not been given out yet. Only where a waiter is
    // passed over by a whole round of tickets does it look like a new one, and waits a little more.
    if ahead < W::BITS.distance(now.head, now.tail) {
        ahead
    } else {
        0
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "preemptable_ticket_test.rs"]
mod tests;
