//! Who looks at a lock after its release: V8 does, Linux 4.0 does not.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a panic is how a model fails")]

mod machine;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use guest_payload::lock::byte::ByteLock;
use guest_payload::lock::mcs::McsLock;
use guest_payload::lock::preemptable_ticket::PreemptableTicket;
use guest_payload::lock::pv_qspinlock::PvQspinlock;
use guest_payload::lock::pv_ticket::PvTicket;
use guest_payload::lock::pv_ticket_head::PvTicketHead;
use guest_payload::lock::qspinlock::Qspinlock;
use guest_payload::lock::{RawLock, U8};
use guest_payload::pv::Backend;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use machine::{Machine, leak_results};

/// What one model saw, all interleavings together.
struct Seen {
    /// Accesses to freed memory.
    touched: u32,
    /// The same, as far as the lock itself saw poison and said so.
    reported: u64,
}

/// Two CPUs use a lock once each; whoever comes last frees it. That is right by the rules of
/// locks: the other has released it, and will not take it again.
fn free_after_last_use<L: RawLock + Send + 'static>() -> Seen {
    static USERS: u32 = 2;
    let results = leak_results(2);
    let touched = std::sync::Arc::new(AtomicU32::new(0));
    let total = std::sync::Arc::clone(&touched);
    loom::model(move || {
        let machine = Arc::new(Machine::<L>::new(results, Backend::Kvm));
        let users_left = Arc::new(UnsafeCell::new(USERS));
        let other = {
            let (machine, users_left) = (Arc::clone(&machine), Arc::clone(&users_left));
            loom::thread::spawn(move || use_once(&machine, 1, &users_left))
        };
        use_once(&machine, 0, &users_left);
        other.join().unwrap();
        total.fetch_add(machine.lock.life().touched(), Relaxed);
    });
    Seen {
        touched: touched.load(Relaxed),
        reported: results
            .iter()
            .map(|cpu| cpu.touch_after_unlock.load(Relaxed))
            .sum(),
    }
}

fn use_once<L: RawLock>(machine: &Machine<L>, index: usize, users_left: &UnsafeCell<u32>) {
    let cpu = machine.cpu(index);
    machine.lock.lock(&cpu);
    // SAFETY: the lock is held; loom checks that this is enough.
    let is_last = users_left.with_mut(|left| unsafe {
        *left -= 1;
        *left == 0
    });
    machine.lock.unlock(&cpu);
    machine.finish(index);
    if is_last {
        machine.lock.free();
    }
}

#[test]
fn v8_touches_the_lock_after_its_release_and_is_caught() {
    let seen = free_after_last_use::<PvTicket<U8>>();
    assert_ne!(seen.touched, 0);
    assert_ne!(seen.reported, 0);
}

#[test]
fn linux_4_0_never_touches_the_lock_after_its_release() {
    let seen = free_after_last_use::<PvTicketHead<U8>>();
    assert_eq!(seen.touched, 0);
    assert_eq!(seen.reported, 0);
}

#[test]
fn queued_locks_never_touch_the_lock_after_their_release() {
    assert_eq!(free_after_last_use::<McsLock>().touched, 0);
    assert_eq!(free_after_last_use::<Qspinlock>().touched, 0);
    assert_eq!(free_after_last_use::<PvQspinlock>().touched, 0);
}

#[test]
fn the_preemptable_ticket_lock_never_touches_the_lock_after_its_release() {
    assert_eq!(free_after_last_use::<PreemptableTicket<U8>>().touched, 0);
}

#[test]
fn the_byte_lock_touches_the_lock_after_its_release_and_is_caught() {
    let seen = free_after_last_use::<ByteLock>();
    assert_ne!(seen.reported, 0);
}
