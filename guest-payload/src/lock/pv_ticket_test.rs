use super::*;
use crate::lock::recorder::{Native, Recorder, poison, view};
use crate::lock::{LockKind, LockWordView, U8, U16};

fn view_of<W: Width>(lock: &PvTicket<W>) -> LockWordView {
    view(lock, LockKind::PvTicket, W::BITS)
}

fn free_at(ticket: u32) -> LockWordView {
    LockWordView::Tickets {
        head: ticket,
        tail: ticket,
        slow_path: false,
        takers: 0,
    }
}

fn the_waiter_is_kicked_and_the_last_release_clears_the_flag<W: Width>() {
    let lock = PvTicket::<W>::INIT;
    let holder = Recorder::default();
    assert_eq!(lock.lock(&holder), 0);

    let waiter = Recorder::acting(|| lock.unlock(&holder));
    assert_eq!(lock.lock(&waiter), 2);
    assert_eq!(*waiter.waits.borrow(), [2]);
    assert_eq!(*holder.kicks.borrow(), [(LockAddress::of(&lock), 2)]);
    let held = LockWordView::Tickets {
        head: 2,
        tail: 4,
        slow_path: true,
        takers: 1,
    };
    assert_eq!(view_of(&lock), held);

    lock.unlock(&waiter);
    assert_eq!(*waiter.kicks.borrow(), []);
    assert_eq!(view_of(&lock), free_at(4));
}

#[test]
fn the_waiter_is_kicked_and_the_last_release_clears_the_flag_u8() {
    the_waiter_is_kicked_and_the_last_release_clears_the_flag::<U8>();
}

#[test]
fn the_waiter_is_kicked_and_the_last_release_clears_the_flag_u16() {
    the_waiter_is_kicked_and_the_last_release_clears_the_flag::<U16>();
}

#[test]
fn the_kicked_ticket_wraps_around() {
    let lock = PvTicket::<U8>::INIT;
    for _ in 0..127 {
        lock.lock(&Native);
        lock.unlock(&Native);
    }
    let holder = Recorder::default();
    assert_eq!(lock.lock(&holder), 254);
    let waiter = Recorder::acting(|| lock.unlock(&holder));
    assert_eq!(lock.lock(&waiter), 0);
    assert_eq!(*holder.kicks.borrow(), [(LockAddress::of(&lock), 0)]);
    lock.unlock(&waiter);
    assert_eq!(view_of(&lock), free_at(2));
}

#[test]
fn a_flag_left_on_a_free_lock_does_not_lock_it() {
    let lock = PvTicket::<U8>::INIT;
    lock.enter_slowpath();
    let pv = Recorder::default();
    assert_eq!(lock.lock(&pv), 0);
    lock.unlock(&pv);
    assert_eq!(view_of(&lock), free_at(2));
    assert_eq!(*pv.kicks.borrow(), []);
}

#[test]
fn a_newcomer_between_release_and_cmpxchg_keeps_the_flag() {
    let lock = PvTicket::<U8>::INIT;
    let pv = Recorder::default();
    lock.lock(&pv);
    lock.enter_slowpath();
    let before = lock.word.load();
    lock.word.release_locked(PV_INCREMENT);
    // Another CPU takes the lock here.
    lock.word.take_ticket(PV_INCREMENT);
    lock.unlock_slowpath(&pv, before);
    assert_eq!(*pv.kicks.borrow(), [(LockAddress::of(&lock), 2)]);
    let LockWordView::Tickets { slow_path, .. } = view_of(&lock) else {
        panic!("no tickets");
    };
    assert!(slow_path);
}

fn poison_is_reported_and_left_alone<W: Width>() {
    let mut lock = PvTicket::<W>::INIT;
    poison(&mut lock);
    let pv = Recorder::default();
    let before = Tickets { head: 0, tail: 2 };
    lock.unlock_slowpath(&pv, before);
    assert_eq!(pv.touched.get(), 1);
    assert_eq!(*pv.kicks.borrow(), []);
    assert_eq!(view_of(&lock), LockWordView::Poison);
}

#[test]
fn poison_is_reported_and_left_alone_u8() {
    poison_is_reported_and_left_alone::<U8>();
}

#[test]
fn poison_is_reported_and_left_alone_u16() {
    poison_is_reported_and_left_alone::<U16>();
}
