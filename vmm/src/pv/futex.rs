//! A 32-bit word that a thread can sleep on (futex(2)); under loom, a mutex and a condition
//! variable with the same contract: `wait_while(v)` returns if the word is not `v`, after a wake,
//! or for no reason.

#[cfg(not(loom))]
mod real {
    use std::sync::atomic::{AtomicU32, Ordering};

    use crate::os::futex as futex_syscall;

    /// The word.
    #[derive(Debug, Default)]
    pub struct Futex(AtomicU32);

    impl Futex {
        pub(crate) fn load(&self, order: Ordering) -> u32 {
            self.0.load(order)
        }

        pub(crate) fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
            self.0.fetch_or(bits, order)
        }

        pub(crate) fn fetch_and(&self, bits: u32, order: Ordering) -> u32 {
            self.0.fetch_and(bits, order)
        }

        pub(crate) fn compare_exchange(
            &self,
            current: u32,
            new: u32,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u32, u32> {
            self.0.compare_exchange(current, new, success, failure)
        }

        pub(crate) fn wait_while(&self, value: u32) {
            futex_syscall::wait(&self.0, value);
        }

        pub(crate) fn wake_one(&self) {
            futex_syscall::wake_one(&self.0);
        }
    }
}

#[cfg(loom)]
mod model {
    use std::cell::Cell;

    use loom::sync::atomic::{AtomicU32, Ordering};
    use loom::sync::{Condvar, Mutex};

    thread_local! {
        static WITHOUT_COMPARING: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs `model` with a wait that would sleep whatever the word is, and fails where that is
    /// for ever. (loom's own detection of a deadlock cannot be caught by a test.)
    #[cfg(test)]
    pub(crate) fn without_comparing(model: impl FnOnce()) {
        WITHOUT_COMPARING.set(true);
        model();
        WITHOUT_COMPARING.set(false);
    }

    /// The word.
    #[derive(Debug, Default)]
    pub struct Futex {
        word: AtomicU32,
        queue: Mutex<()>,
        woken: Condvar,
    }

    impl Futex {
        pub(crate) fn load(&self, order: Ordering) -> u32 {
            self.word.load(order)
        }

        pub(crate) fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
            self.word.fetch_or(bits, order)
        }

        pub(crate) fn fetch_and(&self, bits: u32, order: Ordering) -> u32 {
            self.word.fetch_and(bits, order)
        }

        pub(crate) fn compare_exchange(
            &self,
            current: u32,
            new: u32,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u32, u32> {
            self.word.compare_exchange(current, new, success, failure)
        }

        /// The kernel compares under its queue's lock, which the waker takes too.
        pub(crate) fn wait_while(&self, value: u32) {
            let Ok(queue) = self.queue.lock() else { return };
            let is_unchanged = self.word.load(Ordering::SeqCst) == value;
            assert!(
                is_unchanged || !WITHOUT_COMPARING.get(),
                "sleeps through a wake-up"
            );
            if is_unchanged {
                drop(self.woken.wait(queue));
            }
        }

        pub(crate) fn wake_one(&self) {
            let queue = self.queue.lock();
            self.woken.notify_one();
            drop(queue);
        }
    }
}

#[cfg(loom)]
pub use model::Futex;
#[cfg(all(loom, test))]
pub(crate) use model::without_comparing;
#[cfg(not(loom))]
pub use real::Futex;
