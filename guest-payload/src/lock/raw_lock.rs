//! What every lock can do.

use super::facts::Facts;
use super::view::LockWordView;
use crate::pv::PvLockOps;

/// A spinlock that may leave waiting and waking to `pv`.
pub trait RawLock: Send + Sync + Sized + 'static {
    /// What those who run, check and describe it have to know.
    const FACTS: Facts;

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

    /// What the bytes of a lock say that is not freed; `None` if there are too few.
    fn view(bytes: &[u8]) -> Option<LockWordView>;

    /// Takes the lock and returns the ticket that was served, 0 for locks without tickets.
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32;

    /// Releases the lock, which the caller holds.
    fn unlock<P: PvLockOps>(&self, pv: &P);
}
