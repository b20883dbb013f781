//! Stopping a vCPU thread: pause, go on, end.
//!
//! The thread looks at `pending` before each KVM_RUN. A request that comes after that look is not
//! lost: `immediate_exit` is set before the signal is sent, and KVM returns at once where it finds
//! it set, so either KVM_RUN sees the flag or the signal interrupts it.

use std::sync::PoisonError;

use crate::sync::Ordering::Acquire;
use crate::sync::{AtomicBool, Condvar, Mutex, release};

/// Sends a thread out of KVM_RUN, now or from its next.
pub trait Interrupt: std::fmt::Debug {
    /// The calling thread is the one to interrupt.
    fn thread_starts(&self);
    /// The next KVM_RUN returns at once, and so do all that follow.
    fn set_immediate_exit(&self);
    /// KVM_RUN enters the guest again.
    fn clear_immediate_exit(&self);
    /// A KVM_RUN that is under way returns.
    fn signal(&self);
}

/// What the machine wants of a vCPU thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run the guest.
    Run,
    /// Finish the instruction that the last exit was for, then stand still outside KVM_RUN.
    Pause,
    /// Having stood still: carry out a task, and stand still again.
    Task,
    /// Return from the thread. Final.
    Stop,
}

#[derive(Debug)]
struct State {
    request: Request,
    /// The request is carried out, as far as it is one to stand still.
    still: bool,
    /// The thread has left its loop.
    ended: bool,
}

/// The machine's hold on one vCPU thread.
#[derive(Debug)]
pub struct Control<I> {
    pending: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    interrupt: I,
}

impl<I: Interrupt> Control<I> {
    /// For a thread that `interrupt` reaches.
    pub fn new(interrupt: I) -> Self {
        Self {
            pending: AtomicBool::new(false),
            state: Mutex::new(State {
                request: Request::Run,
                still: false,
                ended: false,
            }),
            changed: Condvar::new(),
            interrupt,
        }
    }

    /// Called first by the vCPU's thread.
    pub fn thread_starts(&self) {
        self.interrupt.thread_starts();
    }

    /// Asks the thread for something. [`Self::wait_until_still`] waits for it to be carried out.
    pub fn request(&self, request: Request) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.request == Request::Stop {
            // Said and signalled before; a thread on its way out needs no second signal.
            return;
        }
        state.request = request;
        state.still = false;
        self.interrupt_locked();
        drop(state);
        self.changed.notify_all();
    }

    /// Sends the thread once around its loop.
    pub fn interrupt(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.interrupt_locked();
        drop(state);
        self.changed.notify_all();
    }

    fn interrupt_locked(&self) {
        // Release: pairs with the Acquire in `is_pending`.
        self.pending.store(true, release());
        self.interrupt.set_immediate_exit();
        self.interrupt.signal();
    }

    /// Waits until the thread stands still, has ended, or is about to: some never start.
    pub fn wait_until_still(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.still && !state.ended && state.request != Request::Stop {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the thread has to look at [`Self::obey`] before it runs the guest.
    pub fn is_pending(&self) -> bool {
        self.pending.load(Acquire)
    }

    /// The thread's side: waits until there is something to look at with [`Self::obey`].
    pub fn wait_until_pending(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Requests are made under the lock, so none comes between the look and the wait.
        while !self.is_pending() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The thread's side: stands still as long as it is told to, then says what to do, which is
    /// to run or to stop. `carry_out` does what comes before standing still: the end of an
    /// instruction for [`Request::Pause`], the task for [`Request::Task`].
    pub fn obey(&self, mut carry_out: impl FnMut(Request)) -> Request {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match state.request {
                Request::Run | Request::Stop => break,
                asked @ (Request::Pause | Request::Task) if !state.still => {
                    drop(state);
                    carry_out(asked);
                    state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    if state.request == asked {
                        state.still = true;
                        self.changed.notify_all();
                    }
                }
                Request::Pause | Request::Task => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        self.pending.store(false, release());
        self.interrupt.clear_immediate_exit();
        state.request
    }

    /// Called last by the vCPU's thread.
    pub fn thread_ends(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(all(test, loom))]
#[path = "control_loom_test.rs"]
mod loom_tests;
