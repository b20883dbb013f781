//! A lock's bytes, read by somebody who is not part of it: the host's hang report.

/// What the bytes of a lock say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWordView {
    /// A ticket lock.
    Tickets {
        /// The ticket that is being served, without the flag.
        head: u32,
        /// The next ticket to be given out, without the flag.
        tail: u32,
        /// Whether the slow-path flag is set.
        slow_path: bool,
        /// How many hold or want the lock: 0 is free, 1 is held and nobody waits.
        takers: u32,
    },
    /// A lock that is one byte.
    Byte {
        /// Whether it is held.
        locked: bool,
        /// CPUs in the slow path.
        spinners: u32,
    },
    /// A lock whose waiters line up in queue nodes.
    Queue {
        /// Whether it is held; `None` where only the nodes tell.
        locked: Option<bool>,
        /// Whether a CPU spins on the lock's own word, next to the holder.
        pending: bool,
        /// Whether the holder has somebody to kick.
        slow_path: bool,
        /// Index of the last CPU in line, which may be the holder.
        last_in_line: Option<u32>,
    },
    /// Freed memory, filled with [`POISON_BYTE`](crate::abi::POISON_BYTE).
    Poison,
}
