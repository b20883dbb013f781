use super::*;
use crate::lock::queue::{Node, Queue};
use crate::lock::recorder::{Recorder, view};
use crate::lock::waiters::Waiters;
use crate::lock::{LockKind, LockWordView, TicketBits};

fn assert_last_in_line(lock: &McsLock, cpu: Option<u32>) {
    let expected = LockWordView::Queue {
        locked: Some(cpu.is_some()),
        pending: false,
        slow_path: false,
        last_in_line: cpu,
    };
    assert_eq!(view(lock, LockKind::Mcs, TicketBits::Eight), expected);
}

#[test]
fn the_word_names_the_last_in_line() {
    let nodes = [Node::new(), Node::new()];
    let cpu = Recorder::seated(Queue::new(&nodes, Waiters::new(&[])).seat(1));
    let lock = McsLock::INIT;
    assert_last_in_line(&lock, None);
    assert_eq!(lock.lock(&cpu), 0);
    assert_last_in_line(&lock, Some(1));
    lock.unlock(&cpu);
    assert_last_in_line(&lock, None);
}

#[test]
fn a_release_gives_the_next_its_turn_and_leaves_the_word_alone() {
    let nodes = [Node::new(), Node::new()];
    let holder = Recorder::seated(Queue::new(&nodes, Waiters::new(&[])).seat(0));
    let lock = McsLock::INIT;
    lock.lock(&holder);
    // CPU 1 queues up.
    nodes[1].reset();
    lock.tail.store(2, Relaxed);
    nodes[0].line_up(2);
    assert!(!nodes[1].is_at_head());
    lock.unlock(&holder);
    assert!(nodes[1].is_at_head());
    assert_last_in_line(&lock, Some(1));
}

#[test]
fn a_release_that_waits_for_the_next_to_line_up_may_leave_its_loop() {
    let nodes = [Node::new(), Node::new()];
    let lines_up = || nodes[0].line_up(2);
    let holder = Recorder::seated(Queue::new(&nodes, Waiters::new(&[])).seat(0)).spinning(lines_up);
    let lock = McsLock::INIT;
    lock.lock(&holder);
    // CPU 1 is in the lock's tail and has not said yet whom it is behind.
    lock.tail.store(2, Relaxed);
    lock.unlock(&holder);
    assert_eq!(holder.turns.get(), 1);
    assert!(nodes[1].is_at_head());
}
