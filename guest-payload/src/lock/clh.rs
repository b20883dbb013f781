//! The queue lock of Craig (1993) and of Magnusson, Landin and Hagersten (1994): who comes takes the place of the last
//! in line, and spins on what that one will write.
//!
//! A release is one store to memory of the CPU's own. It needs not know whether anybody is behind, and does not touch the
//! lock.
//!
//! In the original the CPU behind may still look at a node whose owner wants to queue again. So the owner leaves its node
//! to it and goes on with that of the CPU before; and a lock is born with a node that somebody allocates and somebody has
//! to free. Here the word of a CPU's [node](crate::lock::queue) counts its releases, and the lock's tail says whose
//! release is waited for, and which. A count never goes back, so each use is a node of its own that outlives whoever
//! looks at it: nothing migrates, nothing is allocated, and zero bytes are a lock.
//!
//! Its order is in the tails that the CPUs took, and no ticket shows it.
//!
//! | operation | ordering | pairs with | loom model |
//! |---|---|---|---|
//! | xchg of the tail | Relaxed | nothing: it tells whose release to wait for, and hands over no more | H `clh::…` |
//! | store and load of the count | Release, Acquire | each other: what the lock guards. A later count of the same CPU will do too | H `clh::…` |

use crate::lock::address::LockAddress;
use crate::lock::{Facts, LockWordView, Nodes, RawLock};
use crate::pv::PvLockOps;
use crate::sync::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    spin_hint,
};

/// The tail of a lock that nobody has used yet.
const UNUSED: u64 = 0;
/// The low bits of a tail are the number of the CPU that came last, those above count its uses.
const NUMBER_BITS: u32 = 16;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// CLH lock.
#[derive(Debug)]
#[repr(C)]
pub struct ClhLock {
    tail: AtomicU64,
    #[cfg(loom)]
    life: crate::sync::model::Life,
}

impl RawLock for ClhLock {
    const FACTS: Facts = Facts {
        what: "Craig, Landin and Hagersten (1993): each waiter spins on a count of the one before it; no slow path",
        bytes: "`u16` index + 1 of the last CPU that came, 48 bits which of its uses that is; 0: never used. Whether it is held only the CPUs' counts tell",
        max_cpus: u16::MAX as u32,
        nodes: Nodes::OnePerCpu,
        ..Facts::PLAIN
    };

    #[cfg(not(loom))]
    const INIT: Self = Self {
        tail: AtomicU64::new(UNUSED),
    };

    #[cfg(loom)]
    fn unlocked() -> Self {
        Self {
            tail: AtomicU64::new(UNUSED),
            life: crate::sync::model::Life::default(),
        }
    }

    #[cfg(loom)]
    fn free(&self) {
        self.life.end();
        let poison = u64::from_le_bytes([crate::abi::POISON_BYTE; 8]);
        self.tail.store(poison, Relaxed);
    }

    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life {
        &self.life
    }

    fn view(bytes: &[u8]) -> Option<LockWordView> {
        let [low, high, _, _, _, _, _, _] = bytes else {
            return None;
        };
        let number = u16::from_le_bytes([*low, *high]);
        Some(LockWordView::Queue {
            locked: None,
            pending: false,
            slow_path: false,
            last_in_line: number.checked_sub(1).map(u32::from),
        })
    }

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        let seat = pv.queue();
        // Nobody but this CPU writes its count.
        let next_use = seat.own().word().load(Relaxed).wrapping_add(1);
        #[cfg(loom)]
        self.life.touch();
        let before = self
            .tail
            .swap(next_use << NUMBER_BITS | u64::from(seat.number()), Relaxed);
        if before != UNUSED && !is_over(pv, before) {
            self.wait(pv, before);
        }
        0
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, pv: &P) {
        let count = pv.queue().own().word();
        // Release pairs with the Acquire in `is_over`.
        count.store(count.load(Relaxed).wrapping_add(1), Release);
    }
}

impl ClhLock {
    /// Waits for the end of the use `before`.
    #[cold]
    #[inline(never)]
    fn wait<P: PvLockOps>(&self, pv: &P, before: u64) {
        while !is_over(pv, before) {
            spin_hint();
            pv.spun(LockAddress::of(self), 0, 0);
        }
    }
}

/// Whether the use that a tail names has been released. Acquire pairs with the store of the count.
///
/// Counts are compared in 48 bits: wrong only for a lock that rests while one of its CPUs releases others 2^47 times.
#[inline(always)]
fn is_over<P: PvLockOps>(pv: &P, tail: u64) -> bool {
    let number = (tail & NUMBER_MASK) as u32;
    let count = pv.queue().node(number).word().load(Acquire);
    let ahead = (count << NUMBER_BITS).wrapping_sub(tail & !NUMBER_MASK);
    ahead >> (u64::BITS - 1) == 0
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::lock::queue::{Node, Queue};
    use crate::lock::recorder::{Recorder, view};
    use crate::lock::waiters::Waiters;
    use crate::lock::{LockKind, TicketBits};

    fn assert_last(lock: &ClhLock, cpu: Option<u32>) {
        let expected = LockWordView::Queue {
            locked: None,
            pending: false,
            slow_path: false,
            last_in_line: cpu,
        };
        assert_eq!(view(lock, LockKind::Clh, TicketBits::Eight), expected);
    }

    fn seated<'a>(nodes: &'a [Node], index: usize) -> Recorder<'a> {
        Recorder::seated(Queue::new(nodes, Waiters::new(&[])).seat(index))
    }

    #[test]
    fn the_word_names_who_came_last_even_after_its_release() {
        let nodes = [Node::new(), Node::new()];
        let (lock, cpu) = (ClhLock::INIT, seated(&nodes, 1));
        assert_last(&lock, None);
        assert_eq!(lock.lock(&cpu), 0);
        assert_last(&lock, Some(1));
        lock.unlock(&cpu);
        assert_last(&lock, Some(1));
    }

    #[test]
    fn who_comes_waits_for_the_use_before_and_no_earlier_one() {
        let nodes = [Node::new(), Node::new()];
        let (lock, holder) = (ClhLock::INIT, seated(&nodes, 0));
        for _ in 0..2 {
            lock.lock(&holder);
            lock.unlock(&holder);
        }
        lock.lock(&holder);
        let waiter = seated(&nodes, 1).spinning(|| lock.unlock(&holder));
        lock.lock(&waiter);
        assert_eq!(waiter.turns.get(), 1);
    }

    #[test]
    fn a_use_that_is_long_over_is_not_waited_for() {
        let nodes = [Node::new(), Node::new()];
        let (first, second) = (ClhLock::INIT, ClhLock::INIT);
        let (busy, other) = (seated(&nodes, 0), seated(&nodes, 1));
        first.lock(&busy);
        first.unlock(&busy);
        for _ in 0..1000 {
            second.lock(&busy);
            second.unlock(&busy);
        }
        first.lock(&other);
        assert_eq!(other.turns.get(), 0);
    }

    #[test]
    fn the_count_wraps_around() {
        let nodes = [Node::new(), Node::new()];
        nodes[0].word().store((1 << 48) - 2, Relaxed);
        for _ in 0..4 {
            let (lock, holder) = (ClhLock::INIT, seated(&nodes, 0));
            lock.lock(&holder);
            let waiter = seated(&nodes, 1).spinning(|| lock.unlock(&holder));
            lock.lock(&waiter);
            assert_eq!(waiter.turns.get(), 1);
            lock.unlock(&waiter);
        }
    }
}
