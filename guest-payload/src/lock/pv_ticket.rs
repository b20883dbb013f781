//! The PV ticket lock of the V8 series, as merged in Linux 3.12: flag in the LSB of `tail`.
//!
//! Its unlock looks at the lock after it has released it. Somebody else may take, release and
//! free the lock in between; that is the bug that Linux 4.0 fixed (`d6abfdb20223`) and that stays
//! here to be caught.

use crate::key::{self, Unlock};
use crate::lock::address::LockAddress;
use crate::lock::tickets::{PV_INCREMENT, SLOW_PATH_FLAG, Tickets};
use crate::lock::word::{TicketPair, Width};
use crate::lock::{AfterRelease, Facts, LockWordView, RawLock, tickets};
use crate::pv::{Patience, PvLockOps, SlowPath};
use crate::sync::bounded_spin_hint;

/// PV ticket lock of the V8 series with tickets of width `W`.
#[derive(Debug)]
#[repr(transparent)]
pub struct PvTicket<W: Width> {
    word: W::Pair,
}

impl<W: Width> RawLock for PvTicket<W> {
    const FACTS: Facts = Facts {
        what: "the V8 series and Linux 3.12: slow-path flag in tail",
        bytes: "head, tail; tickets are even, bit 0 of tail is the slow-path flag",
        ticket_increment: PV_INCREMENT,
        max_cpus: (1 << W::BITS.bits()) / PV_INCREMENT,
        after_release: AfterRelease::LooksBack,
        ..Facts::PLAIN
    };

    #[cfg(not(loom))]
    const INIT: Self = Self {
        word: W::Pair::INIT,
    };

    #[cfg(loom)]
    fn unlocked() -> Self {
        Self {
            word: W::Pair::new(),
        }
    }

    #[cfg(loom)]
    fn free(&self) {
        self.word.life().end();
        self.word.fill(Tickets::poison(W::BITS));
    }

    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life {
        self.word.life()
    }

    fn view(bytes: &[u8]) -> Option<LockWordView> {
        tickets::view(W::BITS, PV_INCREMENT, bytes)
    }

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        let taken = self.word.take_ticket(PV_INCREMENT);
        // With the flag in the tail they differ, and the slow part sorts it out.
        if taken.head == taken.tail {
            return taken.tail;
        }
        self.lock_contended(pv, taken.tail)
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, pv: &P) {
        match key::unlock(pv) {
            Unlock::Native => self.word.release(PV_INCREMENT),
            Unlock::Pv => self.unlock_pv(pv, || ()),
            Unlock::Lingering => self.unlock_pv(pv, || pv.linger()),
        }
    }
}

impl<W: Width> PvTicket<W> {
    #[inline(always)]
    fn unlock_pv<P: PvLockOps>(&self, pv: &P, linger: impl FnOnce()) {
        let before = self.word.load();
        self.word.release_locked(PV_INCREMENT);
        linger();
        if self.word.tail() & SLOW_PATH_FLAG != 0 {
            self.unlock_slowpath(pv, before);
        }
    }

    /// Waits for the ticket in `tail`, which may carry the flag, and returns it.
    #[cold]
    #[inline(never)]
    fn lock_contended<P: PvLockOps>(&self, pv: &P, tail: u32) -> u32 {
        let want = tail & !SLOW_PATH_FLAG;
        if self.spin(pv, want) {
            return want;
        }
        loop {
            pv.lock_spinning(self, want);
            if self.spin(pv, want) {
                pv.taken_slowly(LockAddress::of(self), want);
                return want;
            }
        }
    }

    /// Looks at the lock until it is `want`'s or the threshold is reached; whether it is.
    #[inline(always)]
    fn spin<P: PvLockOps>(&self, pv: &P, want: u32) -> bool {
        for _ in 0..pv.threshold() {
            let head = self.word.head();
            if head == want {
                return true;
            }
            bounded_spin_hint();
            if pv.spun(LockAddress::of(self), want, head) == Patience::Gone {
                return false;
            }
        }
        false
    }

    /// The lock is released, `before` is what it was, and somebody was in the slow path.
    #[cold]
    #[inline(never)]
    fn unlock_slowpath<P: PvLockOps>(&self, pv: &P, before: Tickets) {
        if self.word.load() == Tickets::poison(W::BITS) {
            pv.touched_after_release();
            return;
        }
        // Perform the unlock on the copy.
        let old = Tickets {
            head: W::BITS.advance(before.head, PV_INCREMENT),
            tail: before.tail,
        };
        let new = Tickets {
            head: old.head,
            tail: old.tail & !SLOW_PATH_FLAG,
        };
        // Clear the flag if nobody waits; by cmpxchg, because that may change behind our back.
        let is_contended = new.head != new.tail;
        if is_contended || !self.word.replace(old, new) {
            pv.unlock_kick(LockAddress::of(self), old.head);
        }
    }
}

impl<W: Width> SlowPath for PvTicket<W> {
    fn enter_slowpath(&self) {
        self.word.flag_tail();
    }

    fn pickup(&self, want: u32) -> bool {
        self.word.head() == want
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "pv_ticket_test.rs"]
mod tests;
