//! The atomics and the barriers of the world the library is compiled for.
//!
//! On x86 a locked instruction is a full barrier, so none of the barriers named here is an
//! instruction of its own: LLVM would emit MFENCE, which the fast paths must not have. Loom
//! treats a SeqCst access as AcqRel, so the model has a SeqCst fence in the same place.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

pub(crate) use core::sync::atomic::Ordering;

/// A place where a store must be visible to all before a later load of another word.
///
/// The two pair with each other: whichever comes second in the order of all full barriers sees
/// what was stored before the first. So either the waiter sees the release and does not halt, or
/// the releasing CPU sees the waiter and kicks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Barrier {
    /// Waiter: between announcing the wait and the last look at the lock before the halt.
    Announce = 1,
    /// Releasing CPU: between the release and the look for waiters.
    Release = 2,
    /// CPU that takes a queued lock: between giving the next in line its turn and the look whether
    /// that one halts. Pairs with [`Announce`](Self::Announce).
    PassOn = 4,
}

/// The full barrier `at`; the instruction before or after it must be a locked one.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn full_barrier(_at: Barrier) {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// The full barrier `at`, unless the model runs without it.
#[cfg(loom)]
pub(crate) fn full_barrier(at: Barrier) {
    if model::is_kept(at) {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// One turn of a spin loop that nothing but another CPU ends.
#[inline(always)]
pub(crate) fn spin_hint() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    bounded_spin_hint();
}

/// One turn of a spin loop that a threshold ends.
///
/// Nothing in the model: a thread that yields does not run again before the others have halted or
/// ended, which would hide every hand-over from it.
#[inline(always)]
pub(crate) fn bounded_spin_hint() {
    // More threads than cores take part in a unit test.
    #[cfg(all(test, not(loom)))]
    std::thread::yield_now();
    #[cfg(not(any(loom, test)))]
    core::hint::spin_loop();
}

/// Running a model without one of its barriers, to show that the model needs it.
#[cfg(loom)]
pub mod model {
    use super::Barrier;
    use std::cell::Cell;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    std::thread_local! {
        // Loom runs all threads of a model as coroutines of the thread that called it.
        static REMOVED: Cell<u32> = const { Cell::new(0) };
    }

    pub(crate) fn is_kept(barrier: Barrier) -> bool {
        REMOVED.with(|removed| removed.get() & barrier as u32 == 0)
    }

    /// Runs `model` with `barrier` taken out.
    pub fn without(barrier: Barrier, model: impl FnOnce()) {
        struct Restore(u32);
        impl Drop for Restore {
            fn drop(&mut self) {
                REMOVED.with(|removed| removed.set(self.0));
            }
        }
        let _restore = Restore(REMOVED.with(|removed| removed.replace(barrier as u32)));
        model();
    }

    /// Whether a lock has been freed, and how often it was accessed after that.
    ///
    /// Not atomics of the model: loom runs one thread at a time, and this records when each step
    /// ran, not what it could have seen.
    #[derive(Debug, Default)]
    pub struct Life {
        freed: AtomicBool,
        touched: AtomicU32,
    }

    impl Life {
        /// Called by every access.
        pub(crate) fn touch(&self) {
            if self.freed.load(SeqCst) {
                self.touched.fetch_add(1, SeqCst);
            }
        }

        pub(crate) fn end(&self) {
            self.freed.store(true, SeqCst);
        }

        /// Accesses after the end.
        pub fn touched(&self) -> u32 {
            self.touched.load(SeqCst)
        }
    }
}
