//! The locks under test.
//!
//! Each lock is one file. All of a lock lies in its first few bytes, see [`LockWordView`] for how
//! the host reads them.

pub mod byte;
mod kind;
pub mod mcs;
pub mod preemptable_ticket;
pub mod pv_qspinlock;
pub mod pv_ticket;
pub mod pv_ticket_head;
pub mod qspinlock;
pub mod queue;
mod qword;
pub mod tas;
pub mod ticket;
mod tickets;
mod view;
pub mod waiters;
pub mod word;

pub use kind::{LockKind, Order};
pub use tickets::{TicketBits, Tickets};
pub use view::LockWordView;
pub use word::{U8, U16};

use crate::pv::PvLockOps;

/// A spinlock that may leave waiting and waking to `pv`.
pub trait RawLock: Sync + Sized {
    /// An unlocked lock. Its bytes are all 0.
    #[cfg(not(loom))]
    const INIT: Self;

    /// An unlocked lock.
    #[cfg(loom)]
    fn unlocked() -> Self;

    /// Frees the lock: fills it with poison and notes every access from here on.
    #[cfg(loom)]
    fn free(&self);

    /// What [`free`](Self::free) noted.
    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life;

    /// Takes the lock and returns the ticket that was served, 0 for locks without tickets.
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32;

    /// Releases the lock, which the caller holds.
    fn unlock<P: PvLockOps>(&self, pv: &P);
}

#[cfg(test)]
#[cfg(not(loom))]
mod recorder;
#[cfg(test)]
#[cfg(not(loom))]
mod stress_test;
