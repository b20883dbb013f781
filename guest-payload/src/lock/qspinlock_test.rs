use super::*;
use crate::lock::queue::{Node, Queue};
use crate::lock::recorder::{Native, Recorder, view};
use crate::lock::waiters::Waiters;
use crate::lock::{LockKind, LockWordView, TicketBits};

fn assert_view(lock: &Qspinlock, locked: bool, pending: bool, last_in_line: Option<u32>) {
    let expected = LockWordView::Queue {
        locked: Some(locked),
        pending,
        slow_path: false,
        last_in_line,
    };
    let seen = view(lock, LockKind::Qspinlock, TicketBits::Eight);
    assert_eq!(seen, expected);
}

fn nodes<const N: usize>() -> [Node; N] {
    std::array::from_fn(|_| Node::new())
}

#[test]
fn the_third_lines_up_behind_the_holder_and_the_pending_cpu() {
    let nodes: [Node; 3] = nodes();
    let queue = Queue::new(&nodes, Waiters::new(&[]));
    let lock = Qspinlock::INIT;
    lock.lock(&Native);
    lock.word.set_pending();
    let third = Recorder::seated(queue.seat(2)).spinning(|| {
        assert_view(&lock, true, true, Some(2));
        lock.unlock(&Native);
        lock.word.take_pending();
        assert_view(&lock, true, false, Some(2));
        lock.unlock(&Native);
    });
    lock.lock(&third);
    assert_view(&lock, true, false, None);
}

#[test]
fn the_pending_cpu_takes_over_without_a_node() {
    let lock = Qspinlock::INIT;
    lock.lock(&Native);
    let waiter = Recorder::default().spinning(|| {
        assert_view(&lock, true, true, None);
        lock.unlock(&Native);
    });
    lock.lock(&waiter);
    assert_view(&lock, true, false, None);
}

#[test]
fn the_head_of_the_line_gives_the_next_its_turn_when_it_has_the_lock() {
    let nodes: [Node; 2] = nodes();
    let queue = Queue::new(&nodes, Waiters::new(&[]));
    let lock = Qspinlock::INIT;
    lock.lock(&Native);
    lock.word.set_pending();
    let head = Recorder::seated(queue.seat(0)).spinning(|| {
        // CPU 1 lines up behind, then the holder and the pending CPU are done.
        nodes[1].reset();
        assert_eq!(lock.word.swap_tail(2), 1);
        nodes[0].line_up(2);
        lock.unlock(&Native);
        lock.word.take_pending();
        lock.unlock(&Native);
        assert!(!nodes[1].is_at_head());
    });
    lock.lock(&head);
    assert!(nodes[1].is_at_head());
    assert_view(&lock, true, false, Some(1));
}
