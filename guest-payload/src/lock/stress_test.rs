//! Every lock under real threads: one at a time, in turn, and nobody waits for ever.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Barrier, Condvar, Mutex};

use crate::lock::queue::{Node, Queue};
use crate::lock::waiters::{Entry, Waiters};
use crate::lock::{LockKind, RawLock, TicketBits, Visit};
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
struct Stress {
    kind: LockKind,
    bits: TicketBits,
    backend: Backend,
    age: u32,
}

impl Visit for Stress {
    type Output = ();

    fn visit<L: RawLock>(self) {
        stress::<L>(&self);
    }
}

fn stress<L: RawLock>(of: &Stress) {
    let Stress {
        kind,
        bits,
        backend,
        age,
    } = *of;
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

/// With tickets of both widths, if it has tickets.
fn stress_with(kind: LockKind, backend: Backend) {
    let all = [TicketBits::Eight, TicketBits::Sixteen];
    let widths = if kind.has_tickets() { 2 } else { 1 };
    for bits in all.into_iter().take(widths) {
        let age = if kind.has_tickets() {
            age(kind, bits)
        } else {
            0
        };
        let stress = Stress {
            kind,
            bits,
            backend,
            age,
        };
        kind.visit(bits, stress);
    }
}

macro_rules! stress_tests {
    ($(
        $number:literal $file:ident::$lock:ident$(<$width:ident>)?,
        $kind:ident $name:literal, $order:ident, $waits:ident;
    )*) => {
        $(mod $file {
            use super::*;

            stress_tests!($waits $kind);
        })*
    };
    (Spins $kind:ident) => {
        #[test]
        fn one_at_a_time_in_turn_and_nobody_waits_for_ever() {
            stress_with(LockKind::$kind, Backend::Native);
        }
    };
    (Halts $kind:ident) => {
        stress_tests!(Spins $kind);

        #[test]
        fn the_same_with_kvms_kicks() {
            stress_with(LockKind::$kind, Backend::Kvm);
        }

        #[test]
        fn the_same_with_xens_events() {
            stress_with(LockKind::$kind, Backend::Xen);
        }
    };
}

locks!(stress_tests);
