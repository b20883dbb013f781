//! The queued spinlock of Linux 4.2 (`kernel/locking/qspinlock.c`): one waiter spins on the lock's
//! word, all others line up in their nodes.
//!
//! The pending waiter saves the cost of the queue where two CPUs meet. It makes way for nobody, so
//! the lock serves in the order of arrival but for CPUs that arrive while the pending one takes
//! over.

use crate::lock::address::LockAddress;
use crate::lock::queue::Seat;
use crate::lock::qword::{self, QWord};
use crate::lock::waiters::NOBODY;
use crate::lock::{Facts, LockWordView, Nodes, RawLock};
use crate::pv::PvLockOps;
use crate::sync::{bounded_spin_hint, spin_hint};

/// Looks at a word that says that its pending CPU is about to take over: `_Q_PENDING_LOOPS`.
#[cfg(not(loom))]
const PENDING_TURNS: u32 = 1 << 9;
#[cfg(loom)]
const PENDING_TURNS: u32 = 1;

/// Queued spinlock.
#[derive(Debug)]
#[repr(transparent)]
pub struct Qspinlock {
    word: QWord,
}

impl RawLock for Qspinlock {
    const FACTS: Facts = Facts {
        what: "Linux 4.2 on bare metal: one waiter spins on the lock, the others line up as with `mcs`; no slow path",
        bytes: "`u8` held, `u8` a CPU spins on the lock itself, `u16` index + 1 of the last CPU in line",
        max_cpus: qword::MAX_CPUS,
        nodes: Nodes::OnePerCpu,
        ..Facts::PLAIN
    };

    #[cfg(not(loom))]
    const INIT: Self = Self { word: QWord::new() };

    #[cfg(loom)]
    fn unlocked() -> Self {
        Self { word: QWord::new() }
    }

    #[cfg(loom)]
    fn free(&self) {
        self.word.free();
    }

    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life {
        self.word.life()
    }

    fn view(bytes: &[u8]) -> Option<LockWordView> {
        qword::view(bytes)
    }

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        if !self.word.try_lock() {
            lock_contended(&self.word, pv);
        }
        0
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, _pv: &P) {
        self.word.release();
    }
}

/// Waits for the lock, whose word was not free.
#[cold]
#[inline(never)]
pub(super) fn lock_contended<P: PvLockOps>(word: &QWord, pv: &P) {
    let mut seen = word.load();
    for _ in 0..PENDING_TURNS {
        if !seen.is_just_pending() {
            break;
        }
        bounded_spin_hint();
        seen = word.load();
    }
    if !seen.is_contended() {
        let before = word.set_pending();
        if !before.is_contended() {
            while word.is_locked() {
                turn(word, pv);
            }
            word.take_pending();
            return;
        }
        // Somebody lines up. They wait for the bit to go, if it was this CPU that set it.
        if !before.is_pending() {
            word.clear_pending();
        }
    }
    wait_in_line(word, pv, pv.queue());
}

fn wait_in_line<P: PvLockOps>(word: &QWord, pv: &P, seat: Seat<'_>) {
    let own = seat.own();
    own.reset();
    // It may have become free meanwhile.
    if word.try_lock() {
        return;
    }
    let before = word.swap_tail(seat.number());
    if before != NOBODY {
        seat.node(before).line_up(seat.number());
        while !own.is_at_head() {
            turn(word, pv);
        }
    }
    // From here on the lock is this CPU's as soon as holder and pending are gone: all others see
    // the tail.
    let mut seen = word.load();
    while seen.is_held_or_pending() {
        turn(word, pv);
        seen = word.load();
    }
    if seen.tail() == seat.number() && word.take_as_last(seen) {
        return;
    }
    // Somebody is behind, or has set the pending bit and will come behind because of the tail.
    word.set_locked();
    let next = own.await_next(|| {
        pv.spun(LockAddress::of(word), 0, 0);
    });
    seat.node(next).pass_on();
}

#[inline(always)]
fn turn<P: PvLockOps>(word: &QWord, pv: &P) {
    spin_hint();
    pv.spun(LockAddress::of(word), 0, 0);
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "qspinlock_test.rs"]
mod tests;
