//! A PV backend for unit tests: it records what a lock asks for, and lets the test act in the
//! middle of a wait.

use std::cell::{Cell, RefCell};

use crate::abi::POISON_BYTE;
use crate::lock::address::LockAddress;
use crate::lock::queue::Seat;
use crate::lock::{LockKind, LockWordView, TicketBits};
use crate::pv::{Patience, PvLockOps, SlowPath, Waited};

#[derive(Default)]
pub(crate) struct Recorder<'a> {
    pub(crate) kicks: RefCell<Vec<(LockAddress, u32)>>,
    pub(crate) waits: RefCell<Vec<u32>>,
    pub(crate) touched: Cell<u32>,
    while_waiting: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
    while_spinning: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
    pub(crate) waits_early: bool,
    /// Turns of spin loops.
    pub(crate) turns: Cell<u32>,
    seat: Option<Seat<'a>>,
}

impl<'a> Recorder<'a> {
    /// A CPU with a place in queues.
    pub(crate) fn seated(seat: Seat<'a>) -> Self {
        Self {
            seat: Some(seat),
            ..Self::default()
        }
    }

    /// Runs `act` when the lock first halts.
    pub(crate) fn acting(act: impl FnOnce() + 'a) -> Self {
        Self::default().halting(act)
    }

    /// The same CPU, which runs `act` when the lock first halts.
    pub(crate) fn halting(mut self, act: impl FnOnce() + 'a) -> Self {
        self.while_waiting = RefCell::new(Some(Box::new(act)));
        self
    }

    /// The same CPU, which runs `act` in the first turn of a spin loop.
    pub(crate) fn spinning(mut self, act: impl FnOnce() + 'a) -> Self {
        self.while_spinning = RefCell::new(Some(Box::new(act)));
        self
    }
}

impl PvLockOps for Recorder<'_> {
    fn is_paravirtual(&self) -> bool {
        true
    }

    fn threshold(&self) -> u32 {
        3
    }

    fn spun(&self, _lock: LockAddress, _want: u32, _serving: u32) -> Patience {
        self.turns.set(self.turns.get() + 1);
        if let Some(act) = self.while_spinning.take() {
            act();
        }
        Patience::Left
    }

    fn waits_early(&self) -> bool {
        self.waits_early
    }

    fn lock_spinning<S: SlowPath>(&self, lock: &S, want: u32) -> Waited {
        self.waits.borrow_mut().push(want);
        lock.enter_slowpath();
        let waited = if lock.pickup(want) {
            Waited::PickedUp
        } else {
            let act = self.while_waiting.take();
            act.expect("a wait that nobody ends")();
            Waited::LookAgain
        };
        lock.leave_slowpath();
        waited
    }

    fn unlock_kick(&self, lock: LockAddress, ticket: u32) {
        self.kicks.borrow_mut().push((lock, ticket));
    }

    fn queue(&self) -> Seat<'_> {
        self.seat.expect("a lock that needs no queue")
    }

    fn touched_after_release(&self) {
        self.touched.set(self.touched.get() + 1);
    }
}

/// The native backend: nothing is asked for.
pub(crate) struct Native;

impl PvLockOps for Native {
    fn is_paravirtual(&self) -> bool {
        false
    }

    fn threshold(&self) -> u32 {
        3
    }

    fn lock_spinning<S: SlowPath>(&self, _lock: &S, _want: u32) -> Waited {
        Waited::LookAgain
    }

    fn unlock_kick(&self, _lock: LockAddress, _ticket: u32) {
        unreachable!("the native unlock does not look for waiters");
    }

    fn queue(&self) -> Seat<'_> {
        unreachable!("a lock that needs no queue");
    }

    fn touched_after_release(&self) {
        unreachable!("the native unlock does not look at the lock");
    }
}

/// What the host would read.
pub(crate) fn view<L>(lock: &L, kind: LockKind, bits: TicketBits) -> LockWordView {
    // SAFETY: locks have no padding that is not written by `INIT`, except the byte lock's, which
    // `view` does not look at; nobody writes meanwhile.
    let bytes = unsafe {
        std::slice::from_raw_parts(std::ptr::from_ref(lock).cast::<u8>(), size_of::<L>())
    };
    kind.view(bits, bytes).expect("all bytes of the lock")
}

/// Overwrites a lock as its free would.
pub(crate) fn poison<L>(lock: &mut L) {
    // SAFETY: every byte pattern is a valid lock, they are all integers.
    unsafe { std::ptr::from_mut(lock).write_bytes(POISON_BYTE, 1) };
}
