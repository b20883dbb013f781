//! The word as loom can model it: loom has no accesses of two sizes to one place, so each access
//! to a part is a read-modify-write of the whole.
//!
//! That makes plain stores to a part stronger than they are in the language, and no stronger than
//! on x86: there the parts of one word are seen in one order by all, and a store to one part does
//! not undo another CPU's to another. What it hides is a store still on its way out while its CPU
//! reads something else; the places where that matters are [`Barrier`]s, and the model weakens
//! those on request.

use super::{FREE, LOCKED, LOCKED_MASK, PENDING, PENDING_MASK, SLOW, TAIL_SHIFT, Value};
use crate::abi::POISON_BYTE;
use crate::sync::{
    AtomicU32, Barrier,
    Ordering::{self, AcqRel, Acquire, Relaxed, Release},
    full_barrier,
    model::{Life, is_kept},
};

/// The word of a queued spinlock. Notes every access after it has been freed.
#[derive(Debug)]
pub(in crate::lock) struct QWord {
    word: AtomicU32,
    life: Life,
}

impl QWord {
    pub(in crate::lock) fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            life: Life::default(),
        }
    }

    pub(in crate::lock) fn life(&self) -> &Life {
        &self.life
    }

    pub(in crate::lock) fn free(&self) {
        self.life.end();
        let poison = u32::from_le_bytes([POISON_BYTE; 4]);
        self.word.store(poison, Relaxed);
    }

    /// Replaces the bits of `mask` if `is_wanted` accepts the word; what it was, either way.
    fn replace(
        &self,
        mask: u32,
        with: u32,
        success: Ordering,
        failure: Ordering,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Result<u32, u32> {
        self.life.touch();
        let mut seen = self.word.load(failure);
        while is_wanted(seen) {
            let new = seen & !mask | with;
            match self.word.compare_exchange(seen, new, success, failure) {
                Ok(_) => return Ok(seen),
                Err(now) => seen = now,
            }
        }
        Err(seen)
    }

    pub(in crate::lock) fn try_lock(&self) -> bool {
        self.life.touch();
        let locked = LOCKED.into();
        self.word
            .compare_exchange(0, locked, Acquire, Relaxed)
            .is_ok()
    }

    pub(in crate::lock) fn load(&self) -> Value {
        self.life.touch();
        Value(self.word.load(Acquire))
    }

    pub(in crate::lock) fn is_locked(&self) -> bool {
        self.load().0 & LOCKED_MASK != FREE.into()
    }

    pub(in crate::lock) fn is_slow(&self) -> bool {
        self.load().0 & LOCKED_MASK == SLOW.into()
    }

    pub(in crate::lock) fn set_pending(&self) -> Value {
        self.life.touch();
        Value(self.word.fetch_or(PENDING, Acquire))
    }

    pub(in crate::lock) fn claim(&self) {
        self.life.touch();
        self.word.fetch_or(PENDING, Relaxed);
    }

    pub(in crate::lock) fn clear_pending(&self) {
        self.life.touch();
        self.word.fetch_and(!PENDING_MASK, Relaxed);
    }

    /// From pending and free: both bits change in one step.
    pub(in crate::lock) fn take_pending(&self) {
        self.life.touch();
        self.word.fetch_xor(PENDING | u32::from(LOCKED), Relaxed);
    }

    pub(in crate::lock) fn try_take_pending(&self) -> bool {
        let parts = LOCKED_MASK | PENDING_MASK;
        let is_just_pending = |word| word & parts == PENDING;
        self.replace(parts, LOCKED.into(), Acquire, Relaxed, is_just_pending)
            .is_ok()
    }

    pub(in crate::lock) fn try_steal(&self) -> bool {
        let is_free = |word| word & LOCKED_MASK == FREE.into();
        self.replace(LOCKED_MASK, LOCKED.into(), Acquire, Relaxed, is_free)
            .is_ok()
    }

    pub(in crate::lock) fn swap_tail(&self, number: u32) -> u32 {
        let tail = number << TAIL_SHIFT;
        let mask = u32::MAX << TAIL_SHIFT;
        let (Ok(before) | Err(before)) = self.replace(mask, tail, AcqRel, Acquire, |_| true);
        before >> TAIL_SHIFT
    }

    pub(in crate::lock) fn take_as_last(&self, seen: Value) -> bool {
        self.life.touch();
        let locked = LOCKED.into();
        self.word
            .compare_exchange(seen.0, locked, Relaxed, Relaxed)
            .is_ok()
    }

    pub(in crate::lock) fn set_locked(&self) {
        self.life.touch();
        self.word.fetch_or(LOCKED.into(), Relaxed);
    }

    pub(in crate::lock) fn unmark_slow(&self) {
        self.life.touch();
        self.word.fetch_and(!u32::from(SLOW - LOCKED), Relaxed);
    }

    pub(in crate::lock) fn set_slow(&self) {
        self.life.touch();
        self.word.fetch_or(SLOW.into(), Relaxed);
    }

    pub(in crate::lock) fn mark_slow(&self) -> bool {
        self.life.touch();
        let ordering = if is_kept(Barrier::Announce) {
            AcqRel
        } else {
            Relaxed
        };
        let before = self.word.fetch_or(SLOW.into(), ordering);
        before & LOCKED_MASK != FREE.into()
    }

    pub(in crate::lock) fn release(&self) {
        self.life.touch();
        self.word.fetch_and(!LOCKED_MASK, Release);
    }

    pub(in crate::lock) fn release_unless_slow(&self) -> bool {
        let failure = if is_kept(Barrier::Release) {
            Acquire
        } else {
            Relaxed
        };
        let is_fast = |word| word & LOCKED_MASK == LOCKED.into();
        self.replace(LOCKED_MASK, FREE.into(), Release, failure, is_fast)
            .is_ok()
    }

    pub(in crate::lock) fn release_slow(&self) {
        self.life.touch();
        self.word.fetch_and(!LOCKED_MASK, AcqRel);
        full_barrier(Barrier::Release);
    }
}
