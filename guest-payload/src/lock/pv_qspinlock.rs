//! The PV queued spinlock of Linux (`kernel/locking/qspinlock_paravirt.h`, 4.2, with the lock
//! stealing of 4.15): waiters that have spun for long enough halt.
//!
//! Who halts further back is not kicked when it comes to the head of the line. Whoever takes the
//! lock before it notes it in the [hash](crate::lock::waiters) and marks the lock slow on its
//! behalf, so that it is kicked once, by the release. A head that halts does both itself. The
//! release finds the mark by a cmpxchg, takes the waiter out of the hash, and only then lets the
//! lock go: it never touches the lock after that.
//!
//! A newcomer may steal a free lock past all who wait, unless the head of the line spins, which it
//! says by the pending bit. So a halted head delays nobody, and there is no order.

use core::cell::Cell;

use crate::key::{self, Unlock};
use crate::lock::address::LockAddress;
use crate::lock::qspinlock;
use crate::lock::queue::{Node, Seat};
use crate::lock::qword::{self, QWord};
use crate::lock::waiters::NOBODY;
use crate::lock::{Facts, LockWordView, Nodes, RawLock};
use crate::pv::{Patience, PvLockOps, SlowPath};
use crate::sync::{Barrier, bounded_spin_hint, full_barrier, spin_hint};

/// A waiter looks at the one before it once in this many turns: `PV_PREV_CHECK_MASK` plus one.
const TURNS_PER_LOOK_BACK: u32 = 256;

/// PV queued spinlock.
#[derive(Debug)]
#[repr(transparent)]
pub struct PvQspinlock {
    word: QWord,
}

impl RawLock for PvQspinlock {
    const FACTS: Facts = Facts {
        what: "Linux 4.2 in a guest, with the lock stealing of 4.15: waiters halt, a hash says whom the release kicks",
        bytes: "as `qspinlock`; held is 3 where the release has somebody to kick",
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
            self.lock_contended(pv);
        }
        0
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, pv: &P) {
        match key::unlock(pv) {
            Unlock::Native => self.word.release(),
            Unlock::Pv => self.unlock_pv(pv, || ()),
            Unlock::Lingering => self.unlock_pv(pv, || pv.linger()),
        }
    }
}

impl PvQspinlock {
    #[inline(always)]
    fn unlock_pv<P: PvLockOps>(&self, pv: &P, linger: impl FnOnce()) {
        if self.word.release_unless_slow() {
            linger();
        } else {
            self.unlock_slowpath(pv, linger);
        }
    }

    /// Releases the lock, which is marked slow, and kicks the head of the line.
    #[cold]
    #[inline(never)]
    fn unlock_slowpath<P: PvLockOps>(&self, pv: &P, linger: impl FnOnce()) {
        let address = LockAddress::of(self);
        let waiter = pv.queue().waiters().remove(address);
        self.word.release_slow();
        // From here on the lock may be gone.
        linger();
        if let Some(number) = waiter {
            pv.unlock_kick(address, number);
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_contended<P: PvLockOps>(&self, pv: &P) {
        if !pv.is_paravirtual() {
            return qspinlock::lock_contended(&self.word, pv);
        }
        let seat = pv.queue();
        let own = seat.own();
        own.reset();
        if self.steal(pv) {
            return;
        }
        let before = self.word.swap_tail(seat.number());
        let mut waited = Halts::None;
        if before != NOBODY {
            let before = seat.node(before);
            before.line_up(seat.number());
            waited = self.wait_for_turn(pv, seat, before);
        }
        waited = waited.and(self.wait_at_head(pv, seat));
        let seen = self.word.load();
        if seen.tail() != seat.number() || !self.word.take_as_last(seen) {
            let next = own.await_next(|| {
                // There is no slow path here: whoever is told to halt spins on.
                pv.spun(LockAddress::of(self), 0, 0);
            });
            self.pass_on(seat, next);
        }
        if waited == Halts::Some {
            pv.taken_slowly(LockAddress::of(self), seat.number());
        }
    }

    /// Takes the lock past all who wait, if it becomes free while their head does not spin.
    fn steal<P: PvLockOps>(&self, pv: &P) -> bool {
        loop {
            let seen = self.word.load();
            if !seen.is_held_or_pending() && self.word.try_steal() {
                return true;
            }
            if seen.tail() == NOBODY || seen.is_pending() {
                return false;
            }
            spin_hint();
            if pv.spun(LockAddress::of(self), 0, 0) == Patience::Gone {
                return false;
            }
        }
    }

    /// Waits behind `before` until that CPU passes the head of the line on.
    fn wait_for_turn<P: PvLockOps>(&self, pv: &P, seat: Seat<'_>, before: &Node) -> Halts {
        let own = seat.own();
        let mut waited = Halts::None;
        while !self.spin_for_turn(pv, own, before) {
            waited = Halts::Some;
            let wait = InLine { lock: self, own };
            pv.lock_spinning(&wait, seat.number());
        }
        waited
    }

    /// Looks for this CPU's turn until the threshold is reached, or the one before does not run
    /// either; whether it has come.
    #[inline(always)]
    fn spin_for_turn<P: PvLockOps>(&self, pv: &P, own: &Node, before: &Node) -> bool {
        for turn in 0..pv.threshold() {
            if own.is_at_head() {
                return true;
            }
            let is_time = turn.is_multiple_of(TURNS_PER_LOOK_BACK);
            if is_time && pv.waits_early() && !before.is_running() {
                return false;
            }
            bounded_spin_hint();
            if pv.spun(LockAddress::of(self), 0, 0) == Patience::Gone {
                return false;
            }
        }
        false
    }

    /// Waits at the head of the line until this CPU has the lock.
    fn wait_at_head<P: PvLockOps>(&self, pv: &P, seat: Seat<'_>) -> Halts {
        let wait = AtHead {
            lock: self,
            seat,
            entry: Cell::new(if seat.own().is_hashed() {
                InHash::ByAnother
            } else {
                InHash::No
            }),
        };
        let mut waited = Halts::None;
        loop {
            seat.own().run();
            self.word.claim();
            let has_lock = self.spin_at_head(pv);
            if has_lock {
                return waited;
            }
            self.word.clear_pending();
            waited = Halts::Some;
            pv.lock_spinning(&wait, seat.number());
            if wait.entry.get() == InHash::NotNeeded {
                return waited;
            }
        }
    }

    /// Tries to take the lock until the threshold is reached; whether it has.
    #[inline(always)]
    fn spin_at_head<P: PvLockOps>(&self, pv: &P) -> bool {
        for _ in 0..pv.threshold() {
            if self.word.try_take_pending() {
                return true;
            }
            bounded_spin_hint();
            if pv.spun(LockAddress::of(self), 0, 0) == Patience::Gone {
                return false;
            }
        }
        false
    }

    /// As the new holder: makes the CPU `next` the head of the line and, if it halts, sees to it
    /// that the release kicks it.
    fn pass_on(&self, seat: Seat<'_>, next: u32) {
        let node = seat.node(next);
        node.pass_on();
        full_barrier(Barrier::PassOn);
        if node.hash_if_halted() {
            self.word.set_slow();
            seat.waiters().insert(LockAddress::of(self), next);
        }
    }
}

/// Whether a waiter was in the slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halts {
    None,
    Some,
}

impl Halts {
    fn and(self, other: Self) -> Self {
        match self {
            Self::None => other,
            Self::Some => self,
        }
    }
}

/// A wait for the turn: somebody is before this CPU.
struct InLine<'a> {
    lock: &'a PvQspinlock,
    own: &'a Node,
}

impl SlowPath for InLine<'_> {
    fn address(&self) -> LockAddress {
        LockAddress::of(self.lock)
    }

    fn enter_slowpath(&self) {
        self.own.halt();
        full_barrier(Barrier::Announce);
    }

    fn pickup(&self, _want: u32) -> bool {
        self.own.is_at_head()
    }

    /// Leaves the state alone if it says that the lock is hashed already.
    fn leave_slowpath(&self) {
        self.own.run_unless_hashed();
    }
}

/// Whether the hash has an entry for the head of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InHash {
    /// It has none.
    No,
    /// The holder has made one, or is about to.
    ByAnother,
    /// It had one when this CPU looked last.
    Yes,
    /// The lock was free when this CPU marked it, so it is this CPU's.
    NotNeeded,
}

/// A wait for the lock, at the head of the line.
struct AtHead<'a> {
    lock: &'a PvQspinlock,
    seat: Seat<'a>,
    entry: Cell<InHash>,
}

impl AtHead<'_> {
    /// What the hash has now. An entry goes before the mark does, and only a release takes either.
    ///
    /// As long as no mark was seen, another CPU's entry may be one that has gone already (and the
    /// lock stolen since) or one still to come. Then this CPU goes on spinning.
    fn look(&self) -> InHash {
        match (self.entry.get(), self.lock.word.is_slow()) {
            (InHash::Yes, false) => InHash::No,
            (InHash::ByAnother, true) => InHash::Yes,
            (entry, _) => entry,
        }
    }
}

impl SlowPath for AtHead<'_> {
    fn address(&self) -> LockAddress {
        LockAddress::of(self.lock)
    }

    /// The entry comes first, then the mark: who sees the mark finds the entry.
    fn enter_slowpath(&self) {
        let word = &self.lock.word;
        let mut entry = self.look();
        if entry == InHash::No {
            let waiters = self.seat.waiters();
            waiters.insert(self.address(), self.seat.number());
            entry = InHash::Yes;
            if !word.mark_slow() {
                word.unmark_slow();
                waiters.remove(self.address());
                entry = InHash::NotNeeded;
            }
        }
        self.entry.set(entry);
        self.seat.own().halt_hashed();
        full_barrier(Barrier::Announce);
    }

    /// Without the mark there is nobody to kick this CPU.
    fn pickup(&self, _want: u32) -> bool {
        self.entry.get() == InHash::NotNeeded || !self.lock.word.is_slow()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "pv_qspinlock_test.rs"]
mod tests;
