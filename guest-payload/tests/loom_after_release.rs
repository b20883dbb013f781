//! Who looks at a lock after its release: V8 does, Linux 4.0 does not.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a panic is how a model fails")]

mod machine;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use guest_payload::lock::{AfterRelease, LockKind, RawLock, TicketBits, U8};
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
fn free_after_last_use<L: RawLock>() -> Seen {
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

macro_rules! after_release_tests {
    ($(
        $number:literal $file:ident::$lock:ident$(<$width:ident>)?,
        $kind:ident $name:literal, $order:ident, $waits:ident;
    )*) => {
        $(mod $file {
            use super::*;

            #[allow(dead_code, reason = "not all locks have a width")]
            type W = U8;

            #[test]
            fn it_touches_itself_after_its_release_only_if_it_says_so() {
                assert_as_it_says::<guest_payload::lock::$file::$lock$(<$width>)?>();
            }
        })*
    };
}

guest_payload::locks!(after_release_tests);

fn assert_as_it_says<L: RawLock>() {
    let seen = free_after_last_use::<L>();
    match L::FACTS.after_release {
        AfterRelease::LeavesIt => {
            assert_eq!(seen.touched, 0);
            assert_eq!(seen.reported, 0);
        }
        AfterRelease::LooksBack => {
            assert_ne!(seen.touched, 0);
            assert_ne!(seen.reported, 0);
        }
    }
}

/// The bug of V8 that Linux 4.0 fixed.
#[test]
fn of_the_pv_ticket_locks_v8s_alone_looks_back() {
    use AfterRelease::{LeavesIt, LooksBack};
    let of = |kind: LockKind| kind.facts(TicketBits::Eight).after_release;
    assert_eq!(of(LockKind::PvTicket), LooksBack);
    assert_eq!(of(LockKind::PvTicketHead), LeavesIt);
}
