//! Locks that are freed: the last user of an object poisons it, as kernel objects with an
//! embedded lock are freed by whoever drops the last reference under that lock.
//!
//! A lock that touches itself after its release then finds poison, and poison that changed is
//! found by whoever buried it.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use guest_payload::abi::{LOCK_BYTES, LockObject, MAX_CPUS, POISON_BYTE};
use guest_payload::args::{Args, Timing};
use guest_payload::lock::RawLock;
use guest_payload::pv::Cpu;
use guest_payload::stats;

use crate::arch::instr::{delay, rdtsc};
use crate::arch::smp;
use crate::critical_section::{Checks, acquire, lock_of, release};
use crate::objects;
use crate::platform::Machine;
use crate::random::Random;
use crate::witness::Witness;

/// Uses of one object before it is freed: one CPU releases while the other is the last.
const USES: u32 = 2;
const MAX_SLOTS: u32 = 16;
const POISON: u64 = u64::from_ne_bytes([POISON_BYTE; 8]);

/// Where a CPU finds the current object; uses are claimed here, outside the object's memory.
#[derive(Debug)]
struct Slot {
    /// Uses left to claim, with the generation above them.
    claims: AtomicU64,
    object: AtomicU32,
}

static SLOTS: [Slot; MAX_SLOTS as usize] = [const {
    Slot {
        claims: AtomicU64::new(0),
        object: AtomicU32::new(0),
    }
}; MAX_SLOTS as usize];

/// Each CPU's buried object, by number.
static BURIED: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

fn slot_count(cpus: u32) -> u32 {
    (cpus / 2).clamp(1, MAX_SLOTS)
}

/// How many objects this needs: one a slot, and one buried a CPU.
pub(crate) fn object_count(args: &Args<'_>, cpus: u32) -> u32 {
    if args.mortal == 0 {
        0
    } else {
        slot_count(cpus) + cpus
    }
}

fn words(object: &LockObject) -> &[AtomicU64; LOCK_BYTES / 8] {
    // SAFETY: the lock's bytes are aligned to 128 and shared as atomics only.
    unsafe { &*object.lock.get().cast() }
}

fn poison(object: &LockObject) {
    for word in words(object) {
        word.store(POISON, Relaxed);
    }
}

/// Makes the object new: unlocked, unused. All locks are born as zero bytes.
fn revive(object: &LockObject) {
    for word in words(object) {
        word.store(0, Relaxed);
    }
    object.has_last_ticket.store(0, Relaxed);
    object.uses_left.store(USES, Relaxed);
}

/// Gives each slot an object and each CPU a buried one.
pub(crate) fn prepare(args: &Args<'_>, cpus: u32) {
    if args.mortal == 0 {
        return;
    }
    let objects = objects::all();
    let mut next = args.locks;
    for slot in &SLOTS[..slot_count(cpus) as usize] {
        revive(&objects[next as usize]);
        slot.object.store(next, Relaxed);
        slot.claims.store(u64::from(USES), Relaxed);
        next += 1;
    }
    for buried in &BURIED[..cpus as usize] {
        poison(&objects[next as usize]);
        buried.store(next, Relaxed);
        next += 1;
    }
}

fn claim(slot: &Slot) -> bool {
    let mut claims = slot.claims.load(Acquire);
    while claims as u32 != 0 {
        // AcqRel: Acquire pairs with the Release in `bury`, so the object's number is this
        // generation's.
        match slot
            .claims
            .compare_exchange_weak(claims, claims - 1, AcqRel, Acquire)
        {
            Ok(_) => return true,
            Err(now) => claims = now,
        }
    }
    false
}

/// The TSC, or 0 where nobody looks.
fn now(args: &Args<'_>) -> u64 {
    match args.timing {
        Timing::On => rdtsc(),
        Timing::Off => 0,
    }
}

/// Takes a mortal lock once, if one has a use left; frees it after the last use.
pub(crate) fn turn<L: RawLock, W: Witness>(
    index: u32,
    cpu: &Cpu<'static, Machine>,
    checks: &Checks,
    witness: &mut W,
    random: &mut Random,
    args: &Args<'_>,
) -> u64 {
    let slots = slot_count(smp::cpus().len() as u32);
    let slot = &SLOTS[random.below(slots) as usize];
    if !claim(slot) {
        return now(args);
    }
    let number = slot.object.load(Relaxed);
    let object = &objects::all()[number as usize];
    let lock = lock_of::<L>(object);
    let results = cpu.results();
    let asked = now(args);
    let ticket = acquire(lock, cpu);
    let served = now(args);
    witness.taken(object);
    checks.enter(object, ticket);
    delay(args.hold);
    let left = object.uses_left.load(Relaxed) - 1;
    object.uses_left.store(left, Relaxed);
    checks.leave(object);
    witness.releasing(object);
    release(lock, cpu);
    stats::add(&results.acquisitions, 1);
    if args.timing == Timing::On {
        stats::record_wait(results, served.saturating_sub(asked));
    }
    if left == 0 {
        bury(slot, number, index);
    }
    served
}

/// Frees `number` and puts this CPU's buried object, if it rested in peace, in its place.
fn bury(slot: &Slot, number: u32, cpu: u32) {
    let objects = objects::all();
    let results = &smp::cpus()[cpu as usize];
    poison(&objects[number as usize]);
    stats::add(&results.freed, 1);
    let risen = BURIED[cpu as usize].load(Relaxed);
    BURIED[cpu as usize].store(number, Relaxed);
    let object = &objects[risen as usize];
    if words(object)
        .iter()
        .any(|word| word.load(Relaxed) != POISON)
    {
        stats::add(&results.touch_after_unlock, 1);
    }
    revive(object);
    slot.object.store(risen, Relaxed);
    let generation = (slot.claims.load(Relaxed) >> 32) + 1;
    // Release: pairs with the Acquire in `claim`.
    slot.claims
        .store(generation << 32 | u64::from(USES), Release);
}

const _: () = assert!(LOCK_BYTES.is_multiple_of(8) && POISON_BYTE & 1 == 1);
