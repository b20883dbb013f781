//! Every lock under real threads: one at a time, in turn, and nobody waits for ever.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Barrier, Condvar, Mutex};

use crate::lock::byte::ByteLock;
use crate::lock::mcs::McsLock;
use crate::lock::preemptable_ticket::PreemptableTicket;
use crate::lock::pv_qspinlock::PvQspinlock;
use crate::lock::pv_ticket::PvTicket;
use crate::lock::pv_ticket_head::PvTicketHead;
use crate::lock::qspinlock::Qspinlock;
use crate::lock::queue::{Node, Queue};
use crate::lock::tas::TasLock;
use crate::lock::ticket::Ticket;
use crate::lock::waiters::{Entry, Waiters};
use crate::lock::{LockKind, RawLock, TicketBits, U8, U16};
use crate::pv::{Backend, Cpu, PerCpu, Platform, WaitingCpus};

const CPUS: usize = 4;
const ROUNDS: u32 = 400;

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Runs,
    Halts,
    Kicked,
    Finished,
}

/// Threads that halt and kick as vCPUs do. A halt that nobody is left to end fails the test.
struct Board {
    doing: Mutex<[Doing; CPUS]>,
    changed: Condvar,
}

struct Thread<'a> {
    board: &'a Board,
    queue: Queue<'a>,
    index: usize,
}

impl Platform for Thread<'_> {
    fn halt(&self) {
        let mut doing = self.board.doing.lock().unwrap();
        if doing[self.index] == Doing::Runs {
            doing[self.index] = Doing::Halts;
        }
        self.board.changed.notify_all();
        while doing[self.index] != Doing::Kicked {
            let can_kick = |cpu: &Doing| matches!(cpu, Doing::Runs | Doing::Kicked);
            assert!(doing.iter().any(can_kick), "lost kick: all others halt too");
            doing = self.board.changed.wait(doing).unwrap();
        }
        doing[self.index] = Doing::Runs;
    }

    fn kick(&self, apic_id: u32) {
        let mut doing = self.board.doing.lock().unwrap();
        let target = &mut doing[apic_id as usize];
        if *target != Doing::Finished {
            *target = Doing::Kicked;
        }
        self.board.changed.notify_all();
    }

    fn queue(&self) -> Queue<'_> {
        self.queue
    }

    fn now_ns(&self) -> u64 {
        0
    }

    // The event of port i + 1 is pending where CPU i is kicked.

    fn clear_event(&self, port: u32) {
        let mut doing = self.board.doing.lock().unwrap();
        let target = &mut doing[port as usize - 1];
        if *target == Doing::Kicked {
            *target = Doing::Runs;
        }
    }

    fn is_event_pending(&self, port: u32) -> bool {
        self.board.doing.lock().unwrap()[port as usize - 1] == Doing::Kicked
    }

    fn poll_event(&self, port: u32) {
        self.halt();
        self.send_event(port);
    }

    fn send_event(&self, port: u32) {
        self.kick(port - 1);
    }
}

/// What the lock guards, written without atomic read-modify-writes.
#[derive(Default)]
struct Guarded {
    inside: AtomicU32,
    acquisitions: AtomicU32,
    last_ticket: AtomicU32,
}

impl Guarded {
    fn enter(&self, kind: LockKind, bits: TicketBits, ticket: u32) {
        assert_eq!(self.inside.load(Relaxed), 0, "two CPUs in one lock");
        self.inside.store(1, Relaxed);
        std::thread::yield_now();
        let acquisitions = self.acquisitions.load(Relaxed);
        if kind.is_fifo() && acquisitions != 0 {
            let next = bits.advance(self.last_ticket.load(Relaxed), kind.ticket_increment());
            assert_eq!(ticket, next, "served out of turn");
        }
        self.last_ticket.store(ticket, Relaxed);
        self.acquisitions.store(acquisitions + 1, Relaxed);
        self.inside.store(0, Relaxed);
    }
}

/// Uses a lock that has been taken `age` times before.
fn stress<L: RawLock>(kind: LockKind, bits: TicketBits, backend: Backend, age: u32) {
    let lock = L::INIT;
    let guarded = Guarded::default();
    let cpus: [PerCpu; CPUS] = std::array::from_fn(|_| PerCpu::new());
    for (apic_id, cpu) in (0..).zip(&cpus) {
        cpu.apic_id.store(apic_id, Relaxed);
        cpu.kick_port.store(apic_id + 1, Relaxed);
    }
    let waiting_cpus = WaitingCpus::new();
    let board = Board {
        doing: Mutex::new([Doing::Runs; CPUS]),
        changed: Condvar::new(),
    };
    let nodes: [Node; CPUS] = std::array::from_fn(|_| Node::new());
    let entries: [Entry; CPUS] = std::array::from_fn(|_| Entry::new());
    let queue = Queue::new(&nodes, Waiters::new(&entries));
    let start = Barrier::new(CPUS);

    let run = |index: usize| {
        let platform = Thread {
            board: &board,
            queue,
            index,
        };
        let cpu = Cpu::new(index, &cpus, &waiting_cpus, backend, 1, platform).unwrap();
        if index == 0 {
            for _ in 0..age {
                lock.lock(&cpu);
                lock.unlock(&cpu);
            }
        }
        start.wait();
        for _ in 0..ROUNDS {
            guarded.enter(kind, bits, lock.lock(&cpu));
            lock.unlock(&cpu);
        }
        board.doing.lock().unwrap()[index] = Doing::Finished;
        board.changed.notify_all();
    };
    std::thread::scope(|scope| {
        for index in 0..CPUS {
            scope.spawn(move || run(index));
        }
    });

    assert_eq!(
        guarded.acquisitions.load(Relaxed) as usize,
        CPUS * ROUNDS as usize
    );
    let halts: u64 = cpus.iter().map(|cpu| cpu.halts.load(Relaxed)).sum();
    let slow: u64 = cpus
        .iter()
        .map(|cpu| cpu.slow.taken_slow.load(Relaxed))
        .sum();
    let pickups = cpus
        .iter()
        .map(|cpu| cpu.slow.taken_slow_pickup.load(Relaxed));
    assert_eq!(slow, halts + pickups.sum::<u64>());
    if backend == Backend::Native {
        assert_eq!(slow, 0);
    }
    let spurious = cpus
        .iter()
        .map(|cpu| cpu.slow.taken_slow_spurious.load(Relaxed));
    assert_eq!(spurious.sum::<u32>(), 0);
}

/// So that the tickets of either width wrap around during the test.
fn age(kind: LockKind, bits: TicketBits) -> u32 {
    kind.max_cpus(bits) - 300 % kind.max_cpus(bits)
}

macro_rules! stress_tests {
    ($($name:ident: $lock:ty, $kind:ident, $bits:ident, $backend:ident;)*) => {
        $(
            #[test]
            fn $name() {
                let (kind, bits) = (LockKind::$kind, TicketBits::$bits);
                let age = if kind.has_tickets() { age(kind, bits) } else { 0 };
                stress::<$lock>(kind, bits, Backend::$backend, age);
            }
        )*
    };
}

stress_tests! {
    ticket_u8: Ticket<U8>, Ticket, Eight, Native;
    ticket_u16: Ticket<U16>, Ticket, Sixteen, Native;
    pv_ticket_u8_native: PvTicket<U8>, PvTicket, Eight, Native;
    pv_ticket_u8_kvm: PvTicket<U8>, PvTicket, Eight, Kvm;
    pv_ticket_u16_kvm: PvTicket<U16>, PvTicket, Sixteen, Kvm;
    pv_ticket_head_u8_native: PvTicketHead<U8>, PvTicketHead, Eight, Native;
    pv_ticket_head_u8_kvm: PvTicketHead<U8>, PvTicketHead, Eight, Kvm;
    pv_ticket_head_u16_kvm: PvTicketHead<U16>, PvTicketHead, Sixteen, Kvm;
    pv_ticket_u8_xen: PvTicket<U8>, PvTicket, Eight, Xen;
    pv_ticket_u16_xen: PvTicket<U16>, PvTicket, Sixteen, Xen;
    pv_ticket_head_u8_xen: PvTicketHead<U8>, PvTicketHead, Eight, Xen;
    pv_ticket_head_u16_xen: PvTicketHead<U16>, PvTicketHead, Sixteen, Xen;
    byte_xen: ByteLock, Byte, Eight, Xen;
    byte_native: ByteLock, Byte, Eight, Native;
    byte_kvm: ByteLock, Byte, Eight, Kvm;
    tas: TasLock, Tas, Eight, Native;
    mcs: McsLock, Mcs, Eight, Native;
    qspinlock: Qspinlock, Qspinlock, Eight, Native;
    pv_qspinlock_native: PvQspinlock, PvQspinlock, Eight, Native;
    pv_qspinlock_kvm: PvQspinlock, PvQspinlock, Eight, Kvm;
    pv_qspinlock_xen: PvQspinlock, PvQspinlock, Eight, Xen;
    preemptable_ticket_u8: PreemptableTicket<U8>, PreemptableTicket, Eight, Native;
    preemptable_ticket_u16: PreemptableTicket<U16>, PreemptableTicket, Sixteen, Native;
}
