use std::cell::Cell;

use super::*;
use crate::lock::recorder::{Native, view};
use crate::lock::{LockKind, LockWordView, U8, U16};
use crate::pv::{Patience, SlowPath, Waited};

const THRESHOLD: u32 = 5;

/// Counts the turns of a waiter and acts after some of them.
struct Spinner<'a> {
    turns: Cell<u32>,
    act: Box<dyn Fn(u32) + 'a>,
}

impl<'a> Spinner<'a> {
    fn new(act: impl Fn(u32) + 'a) -> Self {
        Self {
            turns: Cell::new(0),
            act: Box::new(act),
        }
    }
}

impl PvLockOps for Spinner<'_> {
    fn is_paravirtual(&self) -> bool {
        false
    }

    fn threshold(&self) -> u32 {
        THRESHOLD
    }

    fn spun(&self, _lock: LockAddress, _want: u32, _serving: u32) -> Patience {
        self.turns.set(self.turns.get() + 1);
        (self.act)(self.turns.get());
        Patience::Left
    }

    fn queue(&self) -> crate::lock::queue::Seat<'_> {
        unreachable!("no queue");
    }

    fn lock_spinning<S: SlowPath>(&self, _lock: &S, _want: u32) -> Waited {
        unreachable!("it never halts");
    }

    fn unlock_kick(&self, _lock: LockAddress, _ticket: u32) {
        unreachable!("it never kicks");
    }

    fn touched_after_release(&self) {
        unreachable!("it does not look");
    }
}

fn assert_takers<W: Width>(lock: &PreemptableTicket<W>, head: u32, takers: u32) {
    let expected = LockWordView::Tickets {
        head,
        tail: W::BITS.advance(head, takers),
        slow_path: false,
        takers,
    };
    assert_eq!(view(lock, LockKind::PreemptableTicket, W::BITS), expected);
}

#[test]
fn without_preemption_it_serves_in_order() {
    let lock = PreemptableTicket::<U8>::INIT;
    for ticket in 0..300 {
        assert_eq!(lock.lock(&Native), ticket & 0xff);
        lock.unlock(&Native);
    }
    assert_takers(&lock, 300 & 0xff, 0);
}

fn a_waiter_that_lost_its_pcpu_is_passed_over_after_a_threshold<W: Width>() {
    let lock = PreemptableTicket::<W>::INIT;
    lock.lock(&Native);
    // Ticket 1 is given out, and its CPU never looks.
    lock.word.take_ticket(INCREMENT);
    lock.unlock(&Native);
    let waiter = Spinner::new(|_| ());
    assert_eq!(lock.lock(&waiter), 2);
    assert_eq!(waiter.turns.get(), THRESHOLD);
    assert_takers(&lock, 1, 2);
    lock.unlock(&waiter);
    // Ticket 1 comes back and finds the lock free: it need not wait, whatever the head says.
    let late = Spinner::new(|_| ());
    lock.spin(&late, 1);
    assert_eq!(late.turns.get(), 0);
    lock.unlock(&late);
    assert_takers(&lock, 3, 0);
}

#[test]
fn a_waiter_that_lost_its_pcpu_is_passed_over_after_a_threshold_u8() {
    a_waiter_that_lost_its_pcpu_is_passed_over_after_a_threshold::<U8>();
}

#[test]
fn a_waiter_that_lost_its_pcpu_is_passed_over_after_a_threshold_u16() {
    a_waiter_that_lost_its_pcpu_is_passed_over_after_a_threshold::<U16>();
}

#[test]
fn who_is_further_back_waits_longer_and_anew_after_each_release() {
    let lock = PreemptableTicket::<U8>::INIT;
    lock.lock(&Native);
    for _ in 1..4 {
        lock.word.take_ticket(INCREMENT);
    }
    // Three before it, of whom one releases after 12 turns: two thresholds more.
    let waiter = Spinner::new(|turn| {
        if turn == 12 {
            lock.unlock(&Native);
        }
    });
    // It has ticket 4: the holder of ticket 0 and the lost 1, 2 and 3 are before it.
    assert_eq!(lock.lock(&waiter), 4);
    assert_eq!(waiter.turns.get(), 12 + 3 * THRESHOLD);
}

#[test]
fn a_timeout_does_not_open_a_lock_that_is_held() {
    let lock = PreemptableTicket::<U8>::INIT;
    lock.lock(&Native);
    let waiter = Spinner::new(|turn| {
        if turn == 10 * THRESHOLD {
            lock.unlock(&Native);
        }
    });
    lock.lock(&waiter);
    assert_eq!(waiter.turns.get(), 10 * THRESHOLD);
}
