//! Atomics, locks and condition variables: the standard library's, or loom's where a model runs.

#[cfg(not(loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use std::sync::{Condvar, Mutex};

    /// The Release of a hand-over, which a model can take away to show that it is needed.
    #[inline(always)]
    pub(crate) const fn release() -> Ordering {
        Ordering::Release
    }
}

#[cfg(loom)]
mod model {
    use std::cell::Cell;

    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use loom::sync::{Condvar, Mutex};

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

    /// Runs `model` with every [`release`] turned to Relaxed.
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
