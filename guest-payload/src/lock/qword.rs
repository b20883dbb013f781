//! The word of a queued spinlock: a byte that says whether it is held, a byte for the one CPU that
//! spins on the word itself, and the number of the last CPU in line.
//!
//! The kernel accesses this word whole, by halves and by bytes (`struct qspinlock`, with fewer than
//! 16384 CPUs). So does this. The kernel's tail also says which of its CPU's four nodes is meant;
//! here a CPU has one.

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod real;

#[cfg(loom)]
pub(super) use model::QWord;
#[cfg(not(loom))]
pub(super) use real::QWord;

use crate::lock::LockWordView;

/// The lowest byte of a lock that nobody holds.
const FREE: u8 = 0;
/// The lowest byte of a lock that is held.
const LOCKED: u8 = 1;
/// The lowest byte of a lock whose holder has somebody to kick: `_Q_SLOW_VAL`.
const SLOW: u8 = 3;
/// The bit above that byte: a CPU spins on the word.
const PENDING: u32 = 1 << TAIL_SHIFT >> 8;
const LOCKED_MASK: u32 = 0xff;
const PENDING_MASK: u32 = 0xff00;
const TAIL_SHIFT: u32 = 16;
/// The last in line has 16 bits.
pub(super) const MAX_CPUS: u32 = u16::MAX as u32;

/// What the bytes of the word say.
pub(super) fn view(bytes: &[u8]) -> Option<LockWordView> {
    let [locked, pending, low, high] = bytes else {
        return None;
    };
    let tail = u16::from_le_bytes([*low, *high]);
    Some(LockWordView::Queue {
        locked: Some(*locked != FREE),
        pending: *pending != 0,
        slow_path: *locked == SLOW,
        last_in_line: tail.checked_sub(1).map(u32::from),
    })
}

/// What one read of the whole word saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value(u32);

impl Value {
    /// Whether nobody can take the lock but who is there.
    pub(super) const fn is_held_or_pending(self) -> bool {
        self.0 & (LOCKED_MASK | PENDING_MASK) != 0
    }

    /// Whether a CPU spins on the word.
    pub(super) const fn is_pending(self) -> bool {
        self.0 & PENDING_MASK != 0
    }

    /// Whether a CPU is about to turn from pending to holder, and nobody else is there.
    pub(super) const fn is_just_pending(self) -> bool {
        self.0 == PENDING
    }

    /// Whether there is anybody but a holder.
    pub(super) const fn is_contended(self) -> bool {
        self.0 & !LOCKED_MASK != 0
    }

    /// Number of the last CPU in line.
    pub(super) const fn tail(self) -> u32 {
        self.0 >> TAIL_SHIFT
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "qword_test.rs"]
mod tests;
