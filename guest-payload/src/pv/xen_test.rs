use std::cell::{Cell, RefCell};

use super::*;
use crate::abi::CPU_WAITING;
use crate::lock::pv_ticket_head::PvTicketHead;
use crate::lock::queue::Queue;
use crate::lock::{RawLock, U8};
use crate::pv::{Backend, PerCpu, PvLockOps, WaitingCpus};

/// Event channels, and a poll that does what the test says.
#[derive(Default)]
struct Scripted<'a> {
    while_polling: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
    pending: Cell<Option<u32>>,
    /// What becomes pending while it polls.
    arrives: Option<&'a Cell<Option<u32>>>,
    sent: RefCell<Vec<u32>>,
}

impl<'a> Scripted<'a> {
    fn after(arrives: &'a Cell<Option<u32>>) -> Self {
        Self {
            arrives: Some(arrives),
            ..Self::default()
        }
    }
}

impl Platform for &Scripted<'_> {
    fn halt(&self) {
        panic!("Xen's locks poll");
    }

    fn kick(&self, _: u32) {
        panic!("Xen's kicks are events");
    }

    fn queue(&self) -> Queue<'_> {
        Queue::EMPTY
    }

    fn now_ns(&self) -> u64 {
        0
    }

    fn clear_event(&self, _: u32) {
        self.pending.set(None);
    }

    fn is_event_pending(&self, port: u32) -> bool {
        self.pending.get() == Some(port)
    }

    fn poll_event(&self, _: u32) {
        let act = self.while_polling.take();
        act.expect("a poll that nobody ends")();
        self.pending.set(self.arrives.and_then(Cell::take));
    }

    fn send_event(&self, port: u32) {
        self.sent.borrow_mut().push(port);
    }
}

struct Machine {
    cpus: Vec<PerCpu>,
    waiting_cpus: WaitingCpus,
}

impl Machine {
    /// CPU `i` has port `10 + i`.
    fn new(cpus: usize) -> Self {
        let cpus: Vec<_> = (0..cpus).map(|_| PerCpu::new()).collect();
        for (port, cpu) in (10..).zip(&cpus) {
            cpu.kick_port.store(port, Relaxed);
        }
        let waiting_cpus = WaitingCpus::new();
        Self { cpus, waiting_cpus }
    }

    fn cpu<'a, H: Platform>(&'a self, index: usize, platform: H) -> Cpu<'a, H> {
        let backend = Backend::Xen;
        Cpu::new(index, &self.cpus, &self.waiting_cpus, backend, 1, platform).unwrap()
    }
}

#[test]
fn a_waiter_polls_and_is_kicked_by_its_event() {
    let machine = Machine::new(2);
    let lock = PvTicketHead::<U8>::INIT;
    let holder_side = Scripted::default();
    let holder = machine.cpu(0, &holder_side);
    let arrived = Cell::new(None);
    let waiter_side = Scripted::after(&arrived);
    let waiter = machine.cpu(1, &waiter_side);
    lock.lock(&holder);
    *waiter_side.while_polling.borrow_mut() = Some(Box::new(|| {
        assert_eq!(machine.cpus[1].state.load(Relaxed), CPU_WAITING);
        lock.unlock(&holder);
        arrived.set(Some(11));
    }));
    assert_eq!(lock.lock(&waiter), 2);
    assert_eq!(*holder_side.sent.borrow(), [11]);
    let slow = &machine.cpus[1].slow;
    assert_eq!(machine.cpus[1].halts.load(Relaxed), 1);
    assert_eq!(slow.taken_slow.load(Relaxed), 1);
    assert_eq!(slow.taken_slow_spurious.load(Relaxed), 0);
    assert_eq!(machine.cpus[0].kicks_sent.load(Relaxed), 1);
}

#[test]
fn a_poll_that_ends_without_its_event_is_counted_as_spurious() {
    let machine = Machine::new(2);
    let lock = PvTicketHead::<U8>::INIT;
    let holder_side = Scripted::default();
    let holder = machine.cpu(0, &holder_side);
    let arrived = Cell::new(None);
    let waiter_side = Scripted::after(&arrived);
    let waiter = machine.cpu(1, &waiter_side);
    lock.lock(&holder);
    *waiter_side.while_polling.borrow_mut() = Some(Box::new(|| lock.unlock(&holder)));
    lock.lock(&waiter);
    let slow = &machine.cpus[1].slow;
    assert_eq!(slow.taken_slow_spurious.load(Relaxed), 1);
}

#[test]
fn an_old_event_is_forgotten_before_the_last_look() {
    let machine = Machine::new(1);
    let side = Scripted::default();
    let cpu = machine.cpu(0, &side);
    side.pending.set(Some(10));
    let lock = PvTicketHead::<U8>::INIT;
    assert_eq!(cpu.lock_spinning(&lock, 0), Waited::PickedUp);
    assert_eq!(side.pending.get(), None);
    let slow = &machine.cpus[0].slow;
    assert_eq!(slow.taken_slow_pickup.load(Relaxed), 1);
}

#[test]
fn a_cpu_without_a_port_spins() {
    let machine = Machine::new(1);
    machine.cpus[0].kick_port.store(0, Relaxed);
    let side = Scripted::default();
    let cpu = machine.cpu(0, &side);
    let lock = PvTicketHead::<U8>::INIT;
    assert_eq!(cpu.lock_spinning(&lock, 2), Waited::LookAgain);
    assert_eq!(machine.cpus[0].slow.taken_slow.load(Relaxed), 0);
}
