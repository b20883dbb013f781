use super::*;
use crate::lock::recorder::{Native, Recorder, view};
use crate::lock::{LockKind, LockWordView, U8, U16};

fn assert_view<W: Width>(lock: &PvTicketHead<W>, head: u32, takers: u32, slow_path: bool) {
    let expected = LockWordView::Tickets {
        head,
        tail: W::BITS.advance(head, takers * PV_INCREMENT),
        slow_path,
        takers,
    };
    assert_eq!(view(lock, LockKind::PvTicketHead, W::BITS), expected);
}

fn the_waiter_is_kicked_and_clears_the_flag_as_it_takes_the_lock<W: Width>() {
    let lock = PvTicketHead::<W>::INIT;
    let holder = Recorder::default();
    assert_eq!(lock.lock(&holder), 0);

    let waiter = Recorder::acting(|| lock.unlock(&holder));
    assert_eq!(lock.lock(&waiter), 2);
    assert_eq!(*waiter.waits.borrow(), [2]);
    assert_eq!(*holder.kicks.borrow(), [(LockAddress::of(&lock), 2)]);
    assert_view(&lock, 2, 1, false);

    lock.unlock(&waiter);
    assert_eq!(*waiter.kicks.borrow(), []);
    assert_view(&lock, 4, 0, false);
}

#[test]
fn the_waiter_is_kicked_and_clears_the_flag_as_it_takes_the_lock_u8() {
    the_waiter_is_kicked_and_clears_the_flag_as_it_takes_the_lock::<U8>();
}

#[test]
fn the_waiter_is_kicked_and_clears_the_flag_as_it_takes_the_lock_u16() {
    the_waiter_is_kicked_and_clears_the_flag_as_it_takes_the_lock::<U16>();
}

#[test]
fn the_kicked_ticket_and_the_cleared_flag_wrap_around() {
    let lock = PvTicketHead::<U8>::INIT;
    for _ in 0..127 {
        lock.lock(&Native);
        lock.unlock(&Native);
    }
    let holder = Recorder::default();
    assert_eq!(lock.lock(&holder), 254);
    let waiter = Recorder::acting(|| lock.unlock(&holder));
    assert_eq!(lock.lock(&waiter), 0);
    assert_eq!(*holder.kicks.borrow(), [(LockAddress::of(&lock), 0)]);
    assert_view(&lock, 0, 1, false);
}

#[test]
fn the_flag_stays_while_others_wait() {
    let lock = PvTicketHead::<U8>::INIT;
    let holder = Recorder::default();
    lock.lock(&holder);
    let waiter = Recorder::acting(|| {
        // A third CPU queues up behind the waiter.
        lock.word.take_ticket(PV_INCREMENT);
        lock.unlock(&holder);
    });
    assert_eq!(lock.lock(&waiter), 2);
    assert_view(&lock, 2, 2, true);
    lock.unlock(&waiter);
    assert_eq!(*waiter.kicks.borrow(), [(LockAddress::of(&lock), 4)]);
}

#[test]
fn a_flag_left_on_a_free_lock_goes_with_the_next_lock() {
    let lock = PvTicketHead::<U8>::INIT;
    lock.enter_slowpath();
    let pv = Recorder::default();
    assert_eq!(lock.lock(&pv), 0);
    assert_view(&lock, 0, 1, false);
    assert_eq!(*pv.waits.borrow(), []);
}
