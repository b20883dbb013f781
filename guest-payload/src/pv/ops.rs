//! What a lock may call, and what a backend needs for that.

use crate::abi::handshake::SpinExit;
use crate::lock::LockAddress;
use crate::lock::queue::{Queue, Seat};

/// How a stay in the slow path ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// [`SlowPath::pickup`] said yes: there was no halt.
    PickedUp,
    /// Anything else (a kick, no backend): look at the lock again.
    LookAgain,
}

/// Whether a waiter may go on spinning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It may.
    Left,
    /// It does better in the slow path, if the lock has one: the holder is off its pCPU.
    Gone,
}

/// What a lock offers to a backend while it waits.
pub trait SlowPath {
    /// Where the lock lives that is waited for.
    #[inline(always)]
    fn address(&self) -> LockAddress
    where
        Self: Sized,
    {
        LockAddress::of(self)
    }

    /// Tells the holder that somebody is in the slow path. Ends with the full barrier
    /// [`Announce`](crate::sync::Barrier::Announce).
    fn enter_slowpath(&self);

    /// The last look before the halt: whether the lock is `want`'s now. A lock without tickets
    /// tries to take it.
    fn pickup(&self, want: u32) -> bool;

    /// Takes back what [`enter_slowpath`](Self::enter_slowpath) told, for locks that count.
    #[inline(always)]
    fn leave_slowpath(&self) {}
}

/// The calls out of a lock.
pub trait PvLockOps {
    /// Whether the unlock must look for waiters. In the guest the patched unlock site says so.
    fn is_paravirtual(&self) -> bool;

    /// Spins before [`lock_spinning`](Self::lock_spinning), at least 1.
    fn threshold(&self) -> u32;

    /// Called once a turn of every spin loop, beside its PAUSE: `lock` was looked at for ticket
    /// `want` and serves `serving` (both 0 for locks without tickets). The way out of a spin loop
    /// for pause-loop exiting and the handshake.
    #[inline(always)]
    fn spun(&self, lock: LockAddress, want: u32, serving: u32) -> Patience {
        let _ = (lock, want, serving);
        Patience::Left
    }

    /// The lock has spun for [`threshold`](Self::threshold) turns and waits for ticket `want`
    /// (0 for locks without tickets, the waiting CPU's number for those with queue nodes). May halt
    /// this CPU until it is kicked.
    fn lock_spinning<S: SlowPath>(&self, lock: &S, want: u32) -> Waited;

    /// The lock was released and `ticket` is next: kicks the CPU that waits for it, if any.
    /// By address, because the lock may be gone.
    fn unlock_kick(&self, lock: LockAddress, ticket: u32);

    /// The lock was taken after at least one [`lock_spinning`](Self::lock_spinning) for ticket
    /// `want`.
    fn taken_slowly(&self, lock: LockAddress, want: u32) {
        let _ = (lock, want);
    }

    /// This CPU's place in the queues of locks that have one.
    fn queue(&self) -> Seat<'_>;

    /// Whether a waiter in a queue goes to its slow path when the one before it does not run.
    #[inline(always)]
    fn waits_early(&self) -> bool {
        true
    }

    /// The lock has looked at itself after its release and seen freed memory.
    fn touched_after_release(&self);

    /// Spends time between a release and what the lock does after it. See
    /// [`Unlock::Lingering`](crate::key::Unlock::Lingering).
    fn linger(&self) {}
}

/// Whether a waiter in a queue halts at once when the one before it does not run (Linux' wait-early
/// mechanism), or spins for its whole threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEarly {
    /// It halts at once.
    On,
    /// It spins.
    Off,
}

/// What a backend needs of the machine.
pub trait Platform {
    /// Halts this CPU until it is kicked; returns at once, and uses the kick up, if one came
    /// before. Interrupts are off, so a lost kick is for ever.
    fn halt(&self);

    /// Unhalts the CPU with this x2APIC ID, or makes its next halt return at once.
    fn kick(&self, apic_id: u32);

    /// Where the waiters of queued locks line up. All CPUs share it.
    fn queue(&self) -> Queue<'_>;

    /// A clock for the statistics, in ns.
    fn now_ns(&self) -> u64;

    /// Forgets a pending event of a port. With [`Backend::Xen`](crate::pv::Backend::Xen) only, as all that follows.
    fn clear_event(&self, port: u32);

    /// Whether an event of a port is pending. A poll does not use it up.
    fn is_event_pending(&self, port: u32) -> bool;

    /// Halts this CPU until an event of a port is pending; it may return without one.
    fn poll_event(&self, port: u32);

    /// Makes an event of a port pending, which ends a poll for it.
    fn send_event(&self, port: u32);

    /// The TSC: when a step is traced, how long a kick takes, whether two PAUSEs are one loop.
    fn now_tsc(&self) -> u64 {
        0
    }

    /// Calls the `spin_exit` stub. Nothing where no host listens.
    fn spin_exit(&self, reason: SpinExit) {
        let _ = reason;
    }
}
