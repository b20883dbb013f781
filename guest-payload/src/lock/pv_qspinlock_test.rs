use super::*;
use crate::lock::queue::Queue;
use crate::lock::recorder::{Recorder, poison, view};
use crate::lock::waiters::{Entry, Waiters};
use crate::lock::{LockKind, LockWordView, TicketBits};

struct Places {
    nodes: [Node; 3],
    entries: [Entry; 3],
}

impl Places {
    fn new() -> Self {
        Self {
            nodes: std::array::from_fn(|_| Node::new()),
            entries: std::array::from_fn(|_| Entry::new()),
        }
    }

    fn seat(&self, index: usize) -> Seat<'_> {
        Queue::new(&self.nodes, Waiters::new(&self.entries)).seat(index)
    }

    fn cpu(&self, index: usize) -> Recorder<'_> {
        Recorder::seated(self.seat(index))
    }
}

fn assert_view(lock: &PvQspinlock, locked: bool, slow_path: bool, last_in_line: Option<u32>) {
    let expected = LockWordView::Queue {
        locked: Some(locked),
        pending: false,
        slow_path,
        last_in_line,
    };
    let seen = view(lock, LockKind::PvQspinlock, TicketBits::Eight);
    assert_eq!(seen, expected);
}

#[test]
fn a_head_that_halts_marks_the_lock_and_is_kicked_by_its_release() {
    let places = Places::new();
    let lock = PvQspinlock::INIT;
    let holder = places.cpu(0);
    lock.lock(&holder);
    let waiter = places.cpu(1).halting(|| {
        assert_view(&lock, true, true, Some(1));
        assert!(!places.nodes[1].is_running());
        lock.unlock(&holder);
        assert_view(&lock, false, false, Some(1));
    });
    lock.lock(&waiter);
    assert_eq!(*waiter.waits.borrow(), [2]);
    assert_eq!(*holder.kicks.borrow(), [(LockAddress::of(&lock), 2)]);
    assert_view(&lock, true, false, None);
    lock.unlock(&waiter);
    assert_eq!(*waiter.kicks.borrow(), []);
    assert_eq!(
        places.seat(0).waiters().remove(LockAddress::of(&lock)),
        None
    );
    assert_view(&lock, false, false, None);
}

#[test]
fn who_halts_in_line_is_kicked_by_the_release_that_makes_it_the_holder_and_not_before() {
    let places = Places::new();
    let lock = PvQspinlock::INIT;
    let address = LockAddress::of(&lock);
    let holder = places.cpu(0);
    lock.lock(&holder);
    let second = places.cpu(2).halting(|| {
        // CPU 1, which was before it, gets the lock, passes the head on and releases.
        lock.unlock(&holder);
        assert_eq!(*holder.kicks.borrow(), []);
        assert!(lock.word.try_take_pending());
        let first = places.cpu(1);
        lock.pass_on(places.seat(1), 3);
        assert_view(&lock, true, true, Some(2));
        assert!(places.nodes[2].is_hashed());
        lock.unlock(&first);
        assert_eq!(*first.kicks.borrow(), [(address, 3)]);
    });
    // CPU 1 is the head of the line. It spins, so the lock is not to be stolen.
    places.nodes[1].reset();
    lock.word.swap_tail(2);
    lock.word.claim();
    let newcomer = &second;
    lock.lock(newcomer);
    assert_eq!(*second.waits.borrow(), [3]);
}

#[test]
fn a_waiter_whose_predecessor_halts_does_not_spin_unless_it_is_told_to() {
    for early in [true, false] {
        let places = Places::new();
        let lock = PvQspinlock::INIT;
        let before = &places.nodes[0];
        before.halt();
        let mut pv = places.cpu(1);
        pv.waits_early = early;
        assert!(!lock.spin_for_turn(&pv, &places.nodes[1], before));
        assert_eq!(pv.turns.get(), if early { 0 } else { pv.threshold() });
    }
}

#[test]
fn a_free_lock_is_stolen_from_a_head_that_does_not_spin() {
    let places = Places::new();
    let lock = PvQspinlock::INIT;
    lock.word.swap_tail(1);
    assert!(lock.steal(&places.cpu(1)));
    assert_view(&lock, true, false, Some(0));
    lock.word.release();
    lock.word.claim();
    assert!(!lock.steal(&places.cpu(2)));
}

#[test]
fn a_lock_that_was_free_as_it_was_marked_is_the_markers() {
    let places = Places::new();
    let lock = PvQspinlock::INIT;
    lock.word.swap_tail(2);
    let wait = AtHead {
        lock: &lock,
        seat: places.seat(1),
        entry: Cell::new(InHash::No),
    };
    wait.enter_slowpath();
    assert!(wait.pickup(2));
    assert_eq!(wait.entry.get(), InHash::NotNeeded);
    assert_view(&lock, true, false, Some(1));
    assert_eq!(places.seat(0).waiters().remove(wait.address()), None);
}

#[test]
fn a_head_whose_lock_was_stolen_marks_it_anew() {
    let places = Places::new();
    let lock = PvQspinlock::INIT;
    let thief = places.cpu(0);
    lock.lock(&thief);
    lock.word.swap_tail(2);
    let wait = AtHead {
        lock: &lock,
        seat: places.seat(1),
        entry: Cell::new(InHash::No),
    };
    for _ in 0..2 {
        wait.enter_slowpath();
        assert!(!wait.pickup(2));
        lock.unlock(&thief);
        assert!(wait.pickup(2));
        assert!(lock.steal(&thief));
    }
    assert_eq!(thief.kicks.borrow().len(), 2);
}

#[test]
fn a_release_does_not_look_at_the_lock_again() {
    let places = Places::new();
    let mut lock = PvQspinlock::INIT;
    let holder = places.cpu(0);
    lock.lock(&holder);
    lock.unlock(&holder);
    poison(&mut lock);
    assert_eq!(
        view(&lock, LockKind::PvQspinlock, TicketBits::Eight),
        LockWordView::Poison
    );
    assert_eq!(*holder.kicks.borrow(), []);
}
