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
use guest_payload::lock::byte::ByteLock;
use guest_payload::lock::mcs::McsLock;
use guest_payload::lock::preemptable_ticket::PreemptableTicket;
use guest_payload::lock::pv_qspinlock::PvQspinlock;
use guest_payload::lock::pv_ticket::PvTicket;
use guest_payload::lock::pv_ticket_head::PvTicketHead;
use guest_payload::lock::qspinlock::Qspinlock;
use guest_payload::lock::{LockKind, RawLock, U8};
use guest_payload::pv::Backend;
use guest_payload::sync::{Barrier, model};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use machine::{Machine, leak_results};

/// CPU `i` takes the lock `rounds[i]` times.
fn hand_over<L: RawLock + Send + 'static>(
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

fn assert_needs<L: RawLock + Send + 'static>(
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

/// Two CPUs and one round each are explored in full. More are explored up to a number of
/// preemptions, the most that takes a few seconds.
macro_rules! handover_tests {
    ($name:ident, $lock:ty, $kind:ident, $backend:ident, $two_rounds:expr, $three_cpus:expr) => {
        mod $name {
            use super::*;

            const KIND: LockKind = LockKind::$kind;
            const BACKEND: Backend = Backend::$backend;

            #[test]
            fn two_cpus_hand_over_and_no_wait_is_for_ever() {
                assert_not_vacuous(hand_over::<$lock>(KIND, BACKEND, &[1, 1], None));
            }

            #[test]
            fn the_flag_is_right_for_the_next_round() {
                assert_not_vacuous(hand_over::<$lock>(
                    KIND,
                    BACKEND,
                    &[2, 1],
                    Some($two_rounds),
                ));
            }

            #[test]
            fn three_cpus_hand_over_and_no_wait_is_for_ever() {
                assert_not_vacuous(hand_over::<$lock>(
                    KIND,
                    BACKEND,
                    &[1, 1, 1],
                    Some($three_cpus),
                ));
            }

            #[test]
            fn the_announcement_needs_its_barrier() {
                assert_needs::<$lock>(KIND, BACKEND, Barrier::Announce, &[1, 1], None);
            }

            #[test]
            fn the_release_needs_its_barrier() {
                assert_needs::<$lock>(KIND, BACKEND, Barrier::Release, &[1, 1], None);
            }
        }
    };
}

handover_tests!(pv_ticket, PvTicket<U8>, PvTicket, Kvm, 4, 2);
handover_tests!(pv_ticket_head, PvTicketHead<U8>, PvTicketHead, Kvm, 5, 4);
handover_tests!(byte, ByteLock, Byte, Kvm, 5, 3);
handover_tests!(pv_ticket_by_events, PvTicket<U8>, PvTicket, Xen, 3, 2);
handover_tests!(
    pv_ticket_head_by_events,
    PvTicketHead<U8>,
    PvTicketHead,
    Xen,
    4,
    3
);

handover_tests!(pv_qspinlock, PvQspinlock, PvQspinlock, Kvm, 3, 2);
handover_tests!(pv_qspinlock_by_events, PvQspinlock, PvQspinlock, Xen, 3, 2);

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

/// Locks without a slow path: one CPU at a time, and each gets its turn.
///
/// Two CPUs that spin while the third is preempted may yield to each other for ever, as loom schedules
/// them; a bound of one preemption keeps that out.
macro_rules! exclusion_tests {
    ($name:ident, $lock:ty, $kind:ident, $two_rounds:expr, $three_cpus:expr) => {
        mod $name {
            use super::*;

            const KIND: LockKind = LockKind::$kind;

            #[test]
            fn two_cpus_are_let_in_one_at_a_time() {
                hand_over::<$lock>(KIND, Backend::Native, &[1, 1], None);
            }

            #[test]
            fn the_queue_is_right_for_the_next_round() {
                hand_over::<$lock>(KIND, Backend::Native, &[2, 1], Some($two_rounds));
            }

            #[test]
            fn three_cpus_are_let_in_one_at_a_time() {
                hand_over::<$lock>(KIND, Backend::Native, &[1, 1, 1], Some($three_cpus));
            }
        }
    };
}

exclusion_tests!(mcs, McsLock, Mcs, 4, 2);
exclusion_tests!(qspinlock, Qspinlock, Qspinlock, 4, 1);
exclusion_tests!(pv_qspinlock_natively, PvQspinlock, PvQspinlock, 4, 1);
exclusion_tests!(
    preemptable_ticket,
    PreemptableTicket<U8>,
    PreemptableTicket,
    4,
    1
);
