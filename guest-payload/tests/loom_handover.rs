//! Every PV lock hands over in every interleaving: one CPU at a time, in turn, and no wait is for
//! ever (loom reports a deadlock when all CPUs are halted).
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p guest-payload --release --test 'loom_*'`
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a panic is how a model fails")]

mod machine;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use guest_payload::abi::CpuResults;
use guest_payload::lock::pv_qspinlock::PvQspinlock;
use guest_payload::lock::{LockKind, RawLock, U8};
use guest_payload::pv::Backend;
use guest_payload::sync::{Barrier, model};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use machine::{Machine, leak_results};

/// CPU `i` takes the lock `rounds[i]` times.
fn hand_over<L: RawLock>(
    kind: LockKind,
    backend: Backend,
    rounds: &'static [u32],
    preemption_bound: Option<usize>,
) -> &'static [CpuResults] {
    let results = leak_results(rounds.len());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemption_bound;
    builder.check(move || {
        let shared = Arc::new((Machine::<L>::new(results, backend), UnsafeCell::default()));
        let others: Vec<_> = (1..rounds.len())
            .map(|index| {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || run(&shared.0, &shared.1, index, kind, rounds[index]))
            })
            .collect();
        run(&shared.0, &shared.1, 0, kind, rounds[0]);
        for other in others {
            other.join().unwrap();
        }
    });
    results
}

/// Plain data that loom sees raced for if two CPUs hold the lock.
#[derive(Default)]
struct Guarded {
    last_ticket: Option<u32>,
}

/// Takes the lock, checks that it is its turn, and releases it, `rounds` times.
fn run<L: RawLock>(
    machine: &Machine<L>,
    guarded: &UnsafeCell<Guarded>,
    index: usize,
    kind: LockKind,
    rounds: u32,
) {
    let cpu = machine.cpu(index);
    for _ in 0..rounds {
        let ticket = machine.lock.lock(&cpu);
        // SAFETY: the lock is held; loom checks that this is enough.
        let last = guarded.with_mut(|guarded| unsafe { (*guarded).last_ticket.replace(ticket) });
        let next = last.map_or(0, |last| last + kind.ticket_increment());
        assert!(ticket == next || !kind.is_fifo(), "served out of turn");
        machine.lock.unlock(&cpu);
    }
    machine.finish(index);
}

fn sum(results: &[CpuResults], counter: impl Fn(&CpuResults) -> &AtomicU64) -> u64 {
    results.iter().map(|cpu| counter(cpu).load(Relaxed)).sum()
}

/// A model that never halts, kicks or picks up would prove nothing.
fn assert_not_vacuous(results: &[CpuResults]) {
    assert_ne!(sum(results, |cpu| &cpu.halts), 0);
    assert_ne!(sum(results, |cpu| &cpu.kicks_sent), 0);
    assert_ne!(sum(results, |cpu| &cpu.slow.taken_slow_pickup), 0);
}

fn assert_needs<L: RawLock>(
    kind: LockKind,
    backend: Backend,
    barrier: Barrier,
    rounds: &'static [u32],
    preemption_bound: Option<usize>,
) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        model::without(barrier, || {
            hand_over::<L>(kind, backend, rounds, preemption_bound);
        });
    }));
    let panic = outcome.unwrap_err();
    let message = panic.downcast_ref::<&str>().unwrap();
    assert!(message.contains("lost kick"), "{message}");
}

/// Up to how many preemptions a model is explored: the most that takes a few seconds. Two CPUs with one round each
/// are explored in full.
struct Preemptions {
    two_rounds: usize,
    three_cpus: usize,
}

impl Preemptions {
    /// What has proved too little for none of the locks; some can be explored further.
    const fn for_lock(kind: LockKind, backend: Backend) -> Self {
        use Backend::{Kvm, Native, Xen};
        use LockKind::{Byte, Mcs, PvTicket, PvTicketHead};
        let (two_rounds, three_cpus) = match (kind, backend) {
            (PvTicketHead, Kvm) => (5, 4),
            (PvTicketHead, Xen) => (4, 3),
            (Byte, Kvm) => (5, 3),
            (PvTicket, Kvm) | (Mcs, Native) => (4, 2),
            (_, Kvm | Xen) => (3, 2),
            // Two CPUs that spin while the third is preempted may yield to each other for ever, as
            // loom schedules them; a bound of one preemption keeps that out.
            (_, Native) => (4, 1),
        };
        Self {
            two_rounds,
            three_cpus,
        }
    }
}

macro_rules! handover_tests {
    ($(
        $number:literal $file:ident::$lock:ident$(<$width:ident>)?,
        $kind:ident $name:literal, $order:ident, $waits:ident;
    )*) => {
        $(mod $file {
            use super::*;

            #[allow(dead_code, reason = "not all locks have a width")]
            type W = U8;
            type Lock = guest_payload::lock::$file::$lock$(<$width>)?;
            const KIND: LockKind = LockKind::$kind;

            handover_tests!($waits);
        })*
    };
    (Spins) => {
        mod natively {
            use super::*;

            const BOUNDS: Preemptions = Preemptions::for_lock(KIND, Backend::Native);

            #[test]
            fn two_cpus_are_let_in_one_at_a_time() {
                hand_over::<Lock>(KIND, Backend::Native, &[1, 1], None);
            }

            #[test]
            fn the_lock_is_right_for_the_next_round() {
                let bound = Some(BOUNDS.two_rounds);
                hand_over::<Lock>(KIND, Backend::Native, &[2, 1], bound);
            }

            #[test]
            fn three_cpus_are_let_in_one_at_a_time() {
                let bound = Some(BOUNDS.three_cpus);
                hand_over::<Lock>(KIND, Backend::Native, &[1, 1, 1], bound);
            }
        }
    };
    (Halts) => {
        handover_tests!(by_kicks Kvm);
        handover_tests!(by_events Xen);
    };
    ($how:ident $backend:ident) => {
        mod $how {
            use super::*;

            const BACKEND: Backend = Backend::$backend;
            const BOUNDS: Preemptions = Preemptions::for_lock(KIND, BACKEND);

            #[test]
            fn two_cpus_hand_over_and_no_wait_is_for_ever() {
                assert_not_vacuous(hand_over::<Lock>(KIND, BACKEND, &[1, 1], None));
            }

            #[test]
            fn the_flag_is_right_for_the_next_round() {
                let bound = Some(BOUNDS.two_rounds);
                assert_not_vacuous(hand_over::<Lock>(KIND, BACKEND, &[2, 1], bound));
            }

            #[test]
            fn three_cpus_hand_over_and_no_wait_is_for_ever() {
                let bound = Some(BOUNDS.three_cpus);
                assert_not_vacuous(hand_over::<Lock>(KIND, BACKEND, &[1, 1, 1], bound));
            }

            #[test]
            fn the_announcement_needs_its_barrier() {
                assert_needs::<Lock>(KIND, BACKEND, Barrier::Announce, &[1, 1], None);
            }

            #[test]
            fn the_release_needs_its_barrier() {
                assert_needs::<Lock>(KIND, BACKEND, Barrier::Release, &[1, 1], None);
            }
        }
    };
}

guest_payload::locks!(handover_tests);

/// With PV off it waits in its queue, where a model of the other PV locks would spin without end.
mod pv_qspinlock_natively {
    use super::*;

    type Lock = PvQspinlock;
    const KIND: LockKind = LockKind::PvQspinlock;

    handover_tests!(Spins);
}

/// It takes a CPU in line that halts: the one before takes the lock a second time.
#[test]
fn passing_the_head_of_the_line_on_needs_its_barrier() {
    for backend in [Backend::Kvm, Backend::Xen] {
        let kind = LockKind::PvQspinlock;
        assert_needs::<PvQspinlock>(kind, backend, Barrier::PassOn, &[2, 1], Some(3));
        // A waiter in line announces itself as a head does.
        assert_needs::<PvQspinlock>(kind, backend, Barrier::Announce, &[2, 1], Some(3));
    }
}
