//! Memory for the nodes in which the waiters of queued locks line up.

use guest_payload::lock::LockKind;
use guest_payload::lock::queue::{Node, Queue};
use guest_payload::lock::waiters::{Entry, Waiters};

use crate::arch::smp::Memory;
use crate::boot_cell::BootCell;

static QUEUE: BootCell<Queue<'static>> = BootCell::new(Queue::EMPTY);

/// The nodes, after [`reserve`].
pub(crate) fn get() -> Queue<'static> {
    *QUEUE.get()
}

/// Sets memory aside for the nodes of these CPUs and the hash of their waiters, where the lock needs them. `None` where
/// there is not that much.
pub(crate) fn reserve(kind: LockKind, cpus: usize, memory: &mut Memory) -> Option<()> {
    if !kind.has_queue() {
        return Some(());
    }
    let entries = Waiters::entries_for(cpus);
    let nodes_at = memory.take((cpus * size_of::<Node>()) as u64)?;
    let entries_at = memory.take((entries * size_of::<Entry>()) as u64)?;
    // SAFETY: zeroed memory of this size that nobody else has, aligned to pages as all that
    // `Memory` gives; zero bytes are a node and an entry.
    let queue = unsafe {
        Queue::new(
            core::slice::from_raw_parts(nodes_at as usize as *const Node, cpus),
            Waiters::new(core::slice::from_raw_parts(
                entries_at as usize as *const Entry,
                entries,
            )),
        )
    };
    // SAFETY: no other CPU runs yet, and nobody has a reference from `get`.
    unsafe { QUEUE.set(queue) };
    Some(())
}
