//! The ticket lock without a slow path: waiters spin until they are served.

#[cfg(loom)]
use crate::lock::Tickets;
use crate::lock::address::LockAddress;
use crate::lock::word::{TicketPair, Width};
use crate::lock::{Facts, LockWordView, RawLock, tickets};
use crate::pv::PvLockOps;
use crate::sync::spin_hint;

const INCREMENT: u32 = 1;

/// Ticket lock with tickets of width `W`.
#[derive(Debug)]
#[repr(transparent)]
pub struct Ticket<W: Width> {
    word: W::Pair,
}

impl<W: Width> RawLock for Ticket<W> {
    const FACTS: Facts = Facts {
        what: "ticket lock without a slow path, as before Linux 3.12",
        bytes: "head, tail; each `ticket_bits` wide; a ticket is 1 more than the one before",
        ticket_increment: INCREMENT,
        max_cpus: (1 << W::BITS.bits()) / INCREMENT,
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
        tickets::view(W::BITS, INCREMENT, bytes)
    }

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        let taken = self.word.take_ticket(INCREMENT);
        if taken.head != taken.tail {
            self.spin(pv, taken.tail);
        }
        taken.tail
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, _pv: &P) {
        self.word.release(INCREMENT);
    }
}

impl<W: Width> Ticket<W> {
    #[cold]
    #[inline(never)]
    fn spin<P: PvLockOps>(&self, pv: &P, want: u32) {
        loop {
            let head = self.word.head();
            if head == want {
                return;
            }
            spin_hint();
            pv.spun(LockAddress::of(self), want, head);
        }
    }
}
