//! Lock objects in guest memory: a lock, and what is checked of it.

use core::sync::atomic::Ordering::{Relaxed, Release};

use guest_payload::abi::LockObject;

use crate::arch::smp::Memory;
use crate::shared::RESULTS;

/// Sets memory aside for this many. `None` where there is not that much.
pub(crate) fn reserve(count: u32, memory: &mut Memory) -> Option<()> {
    let bytes = u64::from(count) * size_of::<LockObject>() as u64;
    RESULTS.locks_gpa.store(memory.take(bytes)?, Relaxed);
    RESULTS.lock_count.store(u64::from(count), Release);
    Some(())
}

/// All lock objects; the first `args.locks` live for ever, the others are freed and reused.
pub(crate) fn all() -> &'static [LockObject] {
    // SAFETY: `reserve` put zeroed memory for `lock_count` objects there; zero is a valid object,
    // and what the CPUs share in it is atomic or belongs to the lock.
    unsafe {
        core::slice::from_raw_parts(
            RESULTS.locks_gpa.load(Relaxed) as usize as *const LockObject,
            RESULTS.lock_count.load(Relaxed) as usize,
        )
    }
}
