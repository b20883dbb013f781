//! The word as the processor sees it: one integer, accessed whole and by parts.

use super::{FREE, LOCKED, PENDING, SLOW, TAIL_SHIFT, Value};
use crate::sync::{
    AtomicU8, AtomicU16, AtomicU32, Barrier,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    full_barrier,
};

#[cfg(not(all(target_arch = "x86_64", target_endian = "little")))]
compile_error!("the mixed-size accesses of the queue word are only known to be right on x86-64");

/// The word of a queued spinlock. Each method is one access, unless it says otherwise.
#[derive(Debug)]
#[repr(transparent)]
pub(in crate::lock) struct QWord(AtomicU32);

impl QWord {
    /// Nobody is there.
    pub(in crate::lock) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[inline(always)]
    fn locked_byte(&self) -> &AtomicU8 {
        // SAFETY: the lowest byte of `self.0`, borrowed with it. All accesses are atomic; those of
        // different size overlap, which Rust leaves undefined and x86 defines (each is one access
        // to one cache line, ordered as accesses of equal size are). LLVM makes one instruction
        // of each.
        unsafe { AtomicU8::from_ptr(self.0.as_ptr().cast()) }
    }

    #[inline(always)]
    fn pending_byte(&self) -> &AtomicU8 {
        // SAFETY: as `locked_byte`, the byte above it.
        unsafe { AtomicU8::from_ptr(self.0.as_ptr().cast::<u8>().add(1)) }
    }

    #[inline(always)]
    fn locked_and_pending(&self) -> &AtomicU16 {
        // SAFETY: as `locked_byte`, the lower half; the word is aligned to 4.
        unsafe { AtomicU16::from_ptr(self.0.as_ptr().cast()) }
    }

    #[inline(always)]
    fn tail_half(&self) -> &AtomicU16 {
        // SAFETY: as `locked_byte`, the upper half; the word is aligned to 4.
        unsafe { AtomicU16::from_ptr(self.0.as_ptr().cast::<u16>().add(1)) }
    }

    /// Takes the lock if nobody is there. Acquire pairs with every release.
    #[inline(always)]
    pub(in crate::lock) fn try_lock(&self) -> bool {
        self.0
            .compare_exchange(0, LOCKED.into(), Acquire, Relaxed)
            .is_ok()
    }

    /// Reads the whole word. Acquire pairs with the releases: who finds the lock free by it may
    /// take it by a plain store.
    #[inline(always)]
    pub(in crate::lock) fn load(&self) -> Value {
        Value(self.0.load(Acquire))
    }

    /// Reads the lowest byte: whether it is held. Acquire pairs with the releases.
    #[inline(always)]
    pub(in crate::lock) fn is_locked(&self) -> bool {
        self.locked_byte().load(Acquire) != FREE
    }

    /// Reads the lowest byte: whether the holder has somebody to kick. Acquire pairs with
    /// [`release_slow`](Self::release_slow): who finds it gone finds the hash entry gone.
    #[inline(always)]
    pub(in crate::lock) fn is_slow(&self) -> bool {
        self.locked_byte().load(Acquire) == SLOW
    }

    /// Sets the pending bit, if nobody has, and reads all. Acquire pairs with the releases.
    #[inline(always)]
    pub(in crate::lock) fn set_pending(&self) -> Value {
        Value(self.0.fetch_or(PENDING, Acquire))
    }

    /// Sets the pending bit by a plain store, for the head of the line. Relaxed: a hint to those
    /// who would steal the lock.
    #[inline(always)]
    pub(in crate::lock) fn claim(&self) {
        self.pending_byte().store(1, Relaxed);
    }

    /// Clears the pending bit, which is this CPU's. Relaxed: nothing is handed over.
    #[inline(always)]
    pub(in crate::lock) fn clear_pending(&self) {
        self.pending_byte().store(0, Relaxed);
    }

    /// Turns this CPU from pending to holder, after [`is_locked`](Self::is_locked) said no.
    #[inline(always)]
    pub(in crate::lock) fn take_pending(&self) {
        self.locked_and_pending().store(LOCKED.into(), Relaxed);
    }

    /// Turns this CPU from pending to holder if nobody holds the lock. Acquire pairs with the
    /// releases. One look, and the access if that was good.
    #[inline(always)]
    pub(in crate::lock) fn try_take_pending(&self) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "bit 8")]
        const ONLY_PENDING: u16 = PENDING as u16;
        self.locked_byte().load(Relaxed) == FREE
            && self
                .locked_and_pending()
                .compare_exchange(ONLY_PENDING, LOCKED.into(), Acquire, Relaxed)
                .is_ok()
    }

    /// Takes the lock past all who wait, if it is free. Acquire pairs with the releases.
    #[inline(always)]
    pub(in crate::lock) fn try_steal(&self) -> bool {
        self.locked_byte()
            .compare_exchange(FREE, LOCKED, Acquire, Relaxed)
            .is_ok()
    }

    /// Makes the CPU `number` the last in line and returns who was. Release publishes its node,
    /// Acquire pairs with that: who knows a node by the tail sees it as it was reset.
    #[inline(always)]
    pub(in crate::lock) fn swap_tail(&self, number: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_CPUS")]
        let number = number as u16;
        self.tail_half().swap(number, AcqRel).into()
    }

    /// Makes the head of the line, who is its end too, the holder, if the word still is `seen`.
    /// Relaxed: it has acquired when it found the lock free.
    #[inline(always)]
    pub(in crate::lock) fn take_as_last(&self, seen: Value) -> bool {
        self.0
            .compare_exchange(seen.0, LOCKED.into(), Relaxed, Relaxed)
            .is_ok()
    }

    /// Makes the lock held, and no more than that. Relaxed, as [`take_as_last`](Self::take_as_last).
    #[inline(always)]
    pub(in crate::lock) fn set_locked(&self) {
        self.locked_byte().store(LOCKED, Relaxed);
    }

    /// As its holder, notes that there will be somebody to kick. Relaxed: the same CPU reads it.
    #[inline(always)]
    pub(in crate::lock) fn set_slow(&self) {
        self.locked_byte().store(SLOW, Relaxed);
    }

    /// As somebody else, notes the same; whether the lock was held. If it was not, this CPU has it
    /// now. Release pairs with the Acquire of [`release_unless_slow`](Self::release_unless_slow):
    /// who sees the mark sees the hash entry and the announcement.
    #[inline(always)]
    pub(in crate::lock) fn mark_slow(&self) -> bool {
        self.locked_byte().swap(SLOW, AcqRel) != FREE
    }

    /// Takes the mark back from a lock that this CPU got by [`mark_slow`](Self::mark_slow).
    #[inline(always)]
    pub(in crate::lock) fn unmark_slow(&self) {
        self.locked_byte().store(LOCKED, Relaxed);
    }

    /// Releases the lock. Release pairs with the Acquire of who takes it.
    #[inline(always)]
    pub(in crate::lock) fn release(&self) {
        self.locked_byte().store(FREE, Release);
    }

    /// Releases the lock unless there is somebody to kick; whether it did. Release pairs with who
    /// takes the lock, Acquire with [`mark_slow`](Self::mark_slow).
    #[inline(always)]
    pub(in crate::lock) fn release_unless_slow(&self) -> bool {
        self.locked_byte()
            .compare_exchange(LOCKED, FREE, Release, Acquire)
            .is_ok()
    }

    /// Releases the lock by xchg, the full barrier [`Release`](Barrier::Release) before the look
    /// for the one to kick.
    #[inline(always)]
    pub(in crate::lock) fn release_slow(&self) {
        self.locked_byte().swap(FREE, SeqCst);
        full_barrier(Barrier::Release);
    }
}

const _: () = assert!(TAIL_SHIFT == u16::BITS && PENDING == 1 << u8::BITS);
