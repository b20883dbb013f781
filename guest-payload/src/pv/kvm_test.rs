use std::cell::{Cell, RefCell};

use super::*;
use crate::abi::{CPU_RUNNING, CPU_WAITING};
use crate::lock::pv_ticket::PvTicket;
use crate::lock::queue::Queue;
use crate::lock::{RawLock, U8};
use crate::pv::{Backend, PerCpu, PvLockOps, WaitingCpus, waiting};
use crate::stats;

/// A clock that ticks at every look, and a halt that does what the test says.
#[derive(Default)]
struct Scripted<'a> {
    while_halted: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
    kicked: RefCell<Vec<u32>>,
    ns: Cell<u64>,
    tsc: Cell<u64>,
}

/// What a kick takes.
const KICK_CYCLES: u64 = 13;

impl Platform for &Scripted<'_> {
    fn halt(&self) {
        let act = self.while_halted.take();
        act.expect("a halt that nobody ends")();
    }

    fn kick(&self, apic_id: u32) {
        self.kicked.borrow_mut().push(apic_id);
        self.tsc.set(self.tsc.get() + KICK_CYCLES);
    }

    fn queue(&self) -> Queue<'_> {
        Queue::EMPTY
    }

    fn now_ns(&self) -> u64 {
        let now = self.ns.get();
        self.ns.set(now + 1000);
        now
    }

    fn now_tsc(&self) -> u64 {
        self.tsc.get()
    }

    fn clear_event(&self, _: u32) {
        panic!("KVM's interface has no events");
    }

    fn is_event_pending(&self, _: u32) -> bool {
        panic!("KVM's interface has no events");
    }

    fn poll_event(&self, _: u32) {
        panic!("KVM's interface has no events");
    }

    fn send_event(&self, _: u32) {
        panic!("KVM's interface has no events");
    }
}

struct Machine {
    cpus: Vec<PerCpu>,
    waiting_cpus: WaitingCpus,
}

impl Machine {
    /// CPU `i` has the APIC ID `1000 + 2 i`.
    fn new(cpus: usize) -> Self {
        let cpus: Vec<_> = (0..cpus).map(|_| PerCpu::new()).collect();
        for (apic_id, cpu) in (1000..).step_by(2).zip(&cpus) {
            cpu.apic_id.store(apic_id, Relaxed);
            cpu.state.store(CPU_RUNNING, Relaxed);
        }
        Self {
            cpus,
            waiting_cpus: WaitingCpus::new(),
        }
    }

    fn cpu<'a, H: Platform>(&'a self, index: usize, backend: Backend, platform: H) -> Cpu<'a, H> {
        Cpu::new(index, &self.cpus, &self.waiting_cpus, backend, 1, platform).unwrap()
    }
}

#[test]
fn a_halted_waiter_can_be_read_by_the_host_and_is_kicked_by_apic_id() {
    let machine = Machine::new(70);
    let lock = PvTicket::<U8>::INIT;
    let holder_side = Scripted::default();
    let holder = machine.cpu(0, Backend::Kvm, &holder_side);
    lock.lock(&holder);

    let waiter_side = Scripted::default();
    let waiter = machine.cpu(69, Backend::Kvm, &waiter_side);
    let results = &machine.cpus[69];
    *waiter_side.while_halted.borrow_mut() = Some(Box::new(|| {
        assert_eq!(results.state.load(Relaxed), CPU_WAITING);
        let address = LockAddress::of(&lock).get();
        assert_eq!(results.waiting_lock.load(Relaxed), address);
        assert_eq!(results.waiting_ticket.load(Relaxed), 2);
        lock.unlock(&holder);
    }));
    assert_eq!(lock.lock(&waiter), 2);

    assert_eq!(*holder_side.kicked.borrow(), [1000 + 2 * 69]);
    assert_eq!(results.state.load(Relaxed), CPU_RUNNING);
    assert_eq!(results.waiting_lock.load(Relaxed), 0);
    assert_eq!(results.halts.load(Relaxed), 1);
    assert_eq!(results.slow.taken_slow.load(Relaxed), 1);
    assert_eq!(results.slow.taken_slow_pickup.load(Relaxed), 0);
    assert_eq!(results.slow.time_blocked_ns.load(Relaxed), 1000);
    assert_eq!(results.slow.histo_blocked[9].load(Relaxed), 1);
    let released = &machine.cpus[0];
    assert_eq!(released.slow.released_slow.load(Relaxed), 1);
    assert_eq!(released.slow.released_slow_kicked.load(Relaxed), 1);
    assert_eq!(released.kicks_sent.load(Relaxed), 1);
    assert_eq!(
        released.kick[stats::wait_bucket(KICK_CYCLES)].load(Relaxed),
        1
    );
    assert_eq!(released.kick_max.load(Relaxed), KICK_CYCLES);
}

#[test]
fn a_lock_that_is_free_at_the_last_look_is_picked_up_without_a_halt() {
    let machine = Machine::new(1);
    let side = Scripted::default();
    let cpu = machine.cpu(0, Backend::Kvm, &side);
    let lock = PvTicket::<U8>::INIT;
    assert_eq!(cpu.lock_spinning(&lock, 0), Waited::PickedUp);
    let results = &machine.cpus[0];
    assert_eq!(results.halts.load(Relaxed), 0);
    assert_eq!(results.slow.taken_slow.load(Relaxed), 1);
    assert_eq!(results.slow.taken_slow_pickup.load(Relaxed), 1);
    assert!(machine.waiting_cpus.find(&machine.cpus, |_| true).is_none());
}

#[test]
fn a_release_that_finds_no_waiter_kicks_nobody() {
    let machine = Machine::new(2);
    let side = Scripted::default();
    let cpu = machine.cpu(0, Backend::Kvm, &side);
    let (lock, other) = (0_u8, 0_u8);
    machine.waiting_cpus.set(1);
    waiting::announce(&machine.cpus[1], LockAddress::of(&other), 2);
    cpu.unlock_kick(LockAddress::of(&lock), 2);
    cpu.unlock_kick(LockAddress::of(&other), 4);
    assert_eq!(*side.kicked.borrow(), []);
    let results = &machine.cpus[0];
    assert_eq!(results.slow.released_slow.load(Relaxed), 2);
    assert_eq!(results.slow.released_slow_kicked.load(Relaxed), 0);
    assert_eq!(results.kicks_sent.load(Relaxed), 0);
}

#[test]
fn the_native_backend_neither_halts_nor_kicks() {
    let machine = Machine::new(1);
    let side = Scripted::default();
    let cpu = machine.cpu(0, Backend::Native, &side);
    let lock = PvTicket::<U8>::INIT;
    assert!(!cpu.is_paravirtual());
    assert_eq!(cpu.lock_spinning(&lock, 2), Waited::LookAgain);
    cpu.unlock_kick(LockAddress::of(&lock), 2);
    assert_eq!(machine.cpus[0].slow.taken_slow.load(Relaxed), 0);
    assert_eq!(machine.cpus[0].slow.released_slow.load(Relaxed), 0);
}

#[test]
fn an_index_without_a_cpu_is_refused() {
    let machine = Machine::new(2);
    let side = Scripted::default();
    let cpus = &machine.cpus;
    let cpu = Cpu::new(2, cpus, &machine.waiting_cpus, Backend::Kvm, 1, &side);
    assert!(cpu.is_none());
}
