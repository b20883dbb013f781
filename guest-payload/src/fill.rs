//! Filling memory before the workload.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use guest_payload::args::Args;
use guest_payload::content;

use crate::arch::ring3;
use crate::arch::smp::Memory;
use crate::shared::RESULTS;

const PAGE_BYTES: u64 = content::PAGE_WORDS as u64 * 8;

/// Sets memory aside for what `args` ask for. `None` if there is not that much.
pub(crate) fn reserve(args: &Args<'_>, memory: &mut Memory) -> Option<()> {
    if args.fill_bytes == 0 {
        return Some(());
    }
    let bytes = args.fill_bytes.next_multiple_of(PAGE_BYTES);
    RESULTS.fill_gpa.store(memory.take(bytes)?, Relaxed);
    RESULTS.fill_bytes.store(bytes, Relaxed);
    Some(())
}

/// Fills the memory, at CPL 3: where CPL 0 is emulated, a gigabyte would take minutes there.
pub(crate) fn fill(args: &Args<'_>) {
    extern "C" fn at_cpl3(seed: u64) {
        content::fill(words(), seed);
    }
    if args.fill_bytes != 0 {
        ring3::call(at_cpl3, args.seed);
    }
}

/// The filled memory.
pub(crate) fn words() -> &'static [AtomicU64] {
    let bytes = RESULTS.fill_bytes.load(Relaxed) as usize;
    if bytes == 0 {
        return &[];
    }
    // SAFETY: `reserve` took this memory for nothing else; any bytes are valid words.
    unsafe {
        core::slice::from_raw_parts(
            RESULTS.fill_gpa.load(Relaxed) as usize as *const AtomicU64,
            bytes / size_of::<AtomicU64>(),
        )
    }
}
