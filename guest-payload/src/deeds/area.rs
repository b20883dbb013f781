//! What each CPU has to itself under `mode=havoc`: who it is, a stack, memory that anything may be written
//! to, and page tables of garbage.

use core::mem::offset_of;
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use crate::arch::smp::Memory;

/// Size of an area; each is aligned to it, so that a stack pointer tells whose area it is in.
pub(crate) const AREA_BYTES: usize = 1 << 16;
/// End of the stack, which starts behind the [`Area`].
pub(crate) const STACK_TOP: usize = 6 * 4096;
/// Where the CPU counts what interrupted it.
pub(crate) const FAULTS_OFFSET: usize = offset_of!(Area, faults);

const SCRATCH: usize = STACK_TOP;
/// Bytes that anything may be written to.
pub(crate) const SCRATCH_BYTES: usize = 6 * 4096;
const TABLES: usize = SCRATCH + SCRATCH_BYTES;
/// Pages that are used as page tables.
pub(crate) const TABLE_PAGES: usize = 4;

const _: () = assert!(TABLES + TABLE_PAGES * 4096 <= AREA_BYTES);

/// The start of a CPU's area. The assembly knows the first field and [`FAULTS_OFFSET`].
#[repr(C)]
pub(crate) struct Area {
    /// Its APIC ID.
    pub(crate) apic_id: AtomicU32,
    /// Its number.
    pub(crate) index: AtomicU32,
    /// Turns it has begun.
    pub(crate) turns: AtomicU64,
    /// Exceptions and interrupts that ended one of its turns.
    pub(crate) faults: AtomicU64,
    /// Times it was started anew.
    pub(crate) restarts: AtomicU64,
    /// Not 0 while it is in a turn.
    pub(crate) is_busy: AtomicU32,
}

/// Where the areas are, and how many. The assembly reads both, and the APs' way in changes with the count.
#[unsafe(no_mangle)]
static HAVOC_AREAS: AtomicU64 = AtomicU64::new(0);
#[unsafe(no_mangle)]
static HAVOC_CPUS: AtomicU32 = AtomicU32::new(0);
/// The CPUID leaf that tells the APIC ID: 1 or 0xb.
#[unsafe(no_mangle)]
static HAVOC_ID_LEAF: AtomicU32 = AtomicU32::new(0);

/// Sets the areas of `cpus` CPUs aside. `None` if there is not that much memory.
pub(super) fn reserve(cpus: u32, memory: &mut Memory) -> Option<()> {
    let bytes = (u64::from(cpus) + 1) * AREA_BYTES as u64;
    let start = memory.take(bytes)?.next_multiple_of(AREA_BYTES as u64);
    HAVOC_AREAS.store(start, Relaxed);
    Some(())
}

/// From now on INIT and SIPI bring each of `cpus` CPUs back to its area.
pub(super) fn open_for_restarts(cpus: u32, id_leaf: u32) {
    HAVOC_ID_LEAF.store(id_leaf, Relaxed);
    // SeqCst: the assembly that reads the count reads the leaf after it.
    HAVOC_CPUS.store(cpus, SeqCst);
}

/// The area of CPU `index`, which must be one of those that [`reserve`] was for.
pub(crate) fn of(index: u32) -> &'static Area {
    let at = HAVOC_AREAS.load(Relaxed) as usize + index as usize * AREA_BYTES;
    // SAFETY: `reserve` took zeroed memory for it; zero is a valid area, and all of it is atomics.
    unsafe { &*(at as *const Area) }
}

impl Area {
    fn at(&self, offset: usize) -> u64 {
        core::ptr::from_ref(self) as u64 + offset as u64
    }

    /// Address of its scratch memory.
    pub(crate) fn scratch(&self) -> u64 {
        self.at(SCRATCH)
    }

    /// Address of its table number `table`.
    pub(crate) fn table(&self, table: usize) -> u64 {
        self.at(TABLES + table % TABLE_PAGES * 4096)
    }
}
