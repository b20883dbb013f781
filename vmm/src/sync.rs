//! Atomics, locks and condition variables: the standard library's, or loom's where a model runs.

#[cfg(not(loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
    pub(crate) use std::sync::{Condvar, Mutex};

    /// A poll's full barrier; see `pv::xen::pollers`.
    #[inline(always)]
    pub(crate) fn poll_barrier() {
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    /// The full barrier of who sends an event, which pairs with [`poll_barrier`].
    #[inline(always)]
    pub(crate) fn send_barrier() {
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    /// The Release of a hand-over, which a model can take away to show that it is needed.
    #[inline(always)]
    pub(crate) const fn release() -> Ordering {
        Ordering::Release
    }

    /// The Release fence of a hand-over.
    #[inline(always)]
    pub(crate) fn release_fence() {
        fence(Ordering::Release);
    }

    /// Whether a model leaves out the second look at something, to show that it is needed.
    #[inline(always)]
    pub(crate) const fn skips_recheck() -> bool {
        false
    }
}

#[cfg(loom)]
mod model {
    use std::cell::Cell;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
    pub(crate) use loom::sync::{Condvar, Mutex};

    /// A side of the hand-over between a poll and an event.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum PollSide {
        Poll,
        Send,
    }

    thread_local! {
        static WITHOUT_BARRIER: Cell<Option<PollSide>> = const { Cell::new(None) };
    }

    pub(crate) fn poll_barrier() {
        barrier(PollSide::Poll);
    }

    pub(crate) fn send_barrier() {
        barrier(PollSide::Send);
    }

    fn barrier(side: PollSide) {
        if WITHOUT_BARRIER.get() != Some(side) {
            loom::sync::atomic::fence(Ordering::SeqCst);
        }
    }

    /// Runs `model` without the barrier of one side.
    #[cfg(test)]
    pub(crate) fn without_barrier(side: PollSide, model: impl FnOnce()) {
        WITHOUT_BARRIER.set(Some(side));
        model();
        WITHOUT_BARRIER.set(None);
    }

    thread_local! {
        /// All threads of a model run on one thread of the host.
        static WITHOUT_RELEASE: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn release() -> Ordering {
        if WITHOUT_RELEASE.get() {
            Ordering::Relaxed
        } else {
            Ordering::Release
        }
    }

    pub(crate) fn release_fence() {
        if !WITHOUT_RELEASE.get() {
            fence(Ordering::Release);
        }
    }

    thread_local! {
        static WITHOUT_RECHECK: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn skips_recheck() -> bool {
        WITHOUT_RECHECK.get()
    }

    /// Runs `model` without the second look of who gives a token up.
    #[cfg(test)]
    pub(crate) fn without_recheck(model: impl FnOnce()) {
        WITHOUT_RECHECK.set(true);
        model();
        WITHOUT_RECHECK.set(false);
    }

    /// Runs `model` with every [`release`] turned to Relaxed, and without any [`release_fence`].
    #[cfg(test)]
    pub(crate) fn without_release(model: impl FnOnce()) {
        WITHOUT_RELEASE.set(true);
        model();
        WITHOUT_RELEASE.set(false);
    }
}

#[cfg(loom)]
pub(crate) use model::*;
#[cfg(not(loom))]
pub(crate) use real::*;
