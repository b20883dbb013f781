use super::*;
use crate::lock::recorder::{Recorder, poison, view};
use crate::lock::{LockKind, LockWordView, TicketBits};

fn view_of(lock: &ByteLock) -> LockWordView {
    view(lock, LockKind::Byte, TicketBits::Eight)
}

fn byte(locked: bool, spinners: u32) -> LockWordView {
    LockWordView::Byte { locked, spinners }
}

#[test]
fn a_waiter_is_counted_kicked_and_uncounted() {
    let lock = ByteLock::INIT;
    let holder = Recorder::default();
    lock.lock(&holder);
    let waiter = Recorder::acting(|| {
        assert_eq!(view_of(&lock), byte(true, 1));
        lock.unlock(&holder);
        assert_eq!(view_of(&lock), byte(false, 1));
    });
    lock.lock(&waiter);
    assert_eq!(view_of(&lock), byte(true, 0));
    assert_eq!(*holder.kicks.borrow(), [(LockAddress::of(&lock), 0)]);
    lock.unlock(&waiter);
    assert_eq!(view_of(&lock), byte(false, 0));
    assert_eq!(*waiter.kicks.borrow(), []);
}

#[test]
fn the_last_look_takes_the_lock() {
    let lock = ByteLock::INIT;
    lock.enter_slowpath();
    assert!(lock.pickup(NO_TICKET));
    assert!(!lock.pickup(NO_TICKET));
    lock.leave_slowpath();
    assert_eq!(view_of(&lock), byte(true, 0));
}

#[test]
fn poison_is_reported_and_left_alone() {
    let mut lock = ByteLock::INIT;
    poison(&mut lock);
    let pv = Recorder::default();
    lock.unlock_slowpath(&pv);
    assert_eq!(pv.touched.get(), 1);
    assert_eq!(*pv.kicks.borrow(), []);
    assert_eq!(view_of(&lock), LockWordView::Poison);
}
