//! `pv_lock_ops`: what a lock calls when it would spin for too long, and when it releases a lock
//! that somebody waits for in the slow path.
//!
//! As in the kernel, a lock knows nothing of hypervisors and a backend knows nothing of a lock's
//! layout. A backend is one file of this folder and one variant of [`Backend`].

mod backend;
pub mod handshake;
mod kvm;
mod slow_path;
mod waiting;
mod xen;

pub use backend::Backend;
pub use handshake::Handshake;
pub use waiting::{PerCpu, WaitingCpus};

use crate::abi::handshake::SpinExit;
use crate::lock::queue::{Queue, Seat};
use crate::stats;
use crate::trace::{About, Step, Trace};

/// Spins before the slow path: V8's `SPIN_THRESHOLD`, 2^11.
pub const SPIN_THRESHOLD: u32 = 1 << 11;

/// Where a lock lives. All that is left of a lock that has been released: it may be freed memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockAddress(u64);

impl LockAddress {
    /// The address of `lock`.
    #[inline(always)]
    pub fn of<T>(lock: &T) -> Self {
        Self(core::ptr::from_ref(lock).addr() as u64)
    }

    /// The address as a number, as the host sees it.
    #[inline(always)]
    pub fn get(self) -> u64 {
        self.0
    }
}

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

    /// Forgets a pending event of a port. With [`Backend::Xen`] only, as all that follows.
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

/// One CPU as its locks see it: its backend, and the places where it meets the other CPUs.
#[derive(Debug)]
pub struct Cpu<'a, H: Platform> {
    index: usize,
    me: &'a PerCpu,
    cpus: &'a [PerCpu],
    waiting_cpus: &'a WaitingCpus,
    backend: Backend,
    threshold: u32,
    linger: u32,
    window: u32,
    wait_early: WaitEarly,
    trace: Option<Trace<'a>>,
    handshake: Option<Handshake<'a>>,
    platform: H,
}

impl<'a, H: Platform> Cpu<'a, H> {
    /// The CPU whose numbers are `cpus[index]`; `None` if there is no such entry.
    ///
    /// All CPUs share `cpus` and `waiting_cpus`. `threshold` is in spins, see [`SPIN_THRESHOLD`].
    pub fn new(
        index: usize,
        cpus: &'a [PerCpu],
        waiting_cpus: &'a WaitingCpus,
        backend: Backend,
        threshold: u32,
        platform: H,
    ) -> Option<Self> {
        Some(Self {
            index,
            me: cpus.get(index)?,
            cpus,
            waiting_cpus,
            backend,
            threshold: threshold.max(1),
            linger: 0,
            window: 0,
            wait_early: WaitEarly::On,
            trace: None,
            handshake: None,
            platform,
        })
    }

    /// The same CPU, which lingers for this many PAUSEs where the unlock site says so.
    pub fn with_linger(self, pauses: u32) -> Self {
        Self {
            linger: pauses,
            ..self
        }
    }

    /// The same CPU, which spends this many PAUSEs between its last look at a lock and its halt.
    pub fn with_window(self, pauses: u32) -> Self {
        Self {
            window: pauses,
            ..self
        }
    }

    /// The same CPU, whose waits in a queue end early or not.
    pub fn with_wait_early(self, wait_early: WaitEarly) -> Self {
        Self { wait_early, ..self }
    }

    /// The same CPU, which notes the steps of its slow paths in `trace`.
    pub fn with_trace(self, trace: Option<Trace<'a>>) -> Self {
        Self { trace, ..self }
    }

    /// The same CPU, which does what its host has asked for.
    pub fn with_handshake(self, handshake: Option<Handshake<'a>>) -> Self {
        Self { handshake, ..self }
    }

    /// This CPU's part in the handshake, where the host has asked for anything.
    pub fn handshake(&self) -> Option<&Handshake<'a>> {
        self.handshake.as_ref()
    }

    /// Notes `step` now, where somebody traces.
    #[inline]
    fn note(&self, step: Step, lock: LockAddress, ticket: u32) {
        if let Some(trace) = &self.trace {
            let about = About {
                lock,
                ticket,
                target: 0,
            };
            trace.note(self.platform.now_tsc(), step, about);
        }
    }

    /// The TSC where somebody traces, else 0.
    #[inline]
    fn traced_now(&self) -> u64 {
        self.trace.map_or(0, |_| self.platform.now_tsc())
    }

    /// Notes that the CPU `target` is kicked for `ticket`, `lock` having been released at
    /// `released`.
    #[inline]
    fn note_release(&self, released: u64, lock: LockAddress, ticket: u32, target: u32) {
        if let Some(trace) = &self.trace {
            let about = About {
                lock,
                ticket,
                target,
            };
            trace.note(released, Step::Unlock, about);
        }
    }

    /// Kicks, and counts how long that takes.
    #[inline]
    fn time_kick(&self, kick: impl FnOnce(&H)) {
        let start = self.platform.now_tsc();
        kick(&self.platform);
        let cycles = self.platform.now_tsc().saturating_sub(start);
        stats::record_kick(self.me, cycles);
    }

    /// This CPU's numbers.
    pub fn results(&self) -> &'a PerCpu {
        self.me
    }

    /// This CPU's machine.
    pub fn platform(&self) -> &H {
        &self.platform
    }
}

impl<H: Platform> PvLockOps for Cpu<'_, H> {
    #[inline(always)]
    fn is_paravirtual(&self) -> bool {
        self.backend != Backend::Native
    }

    #[inline(always)]
    fn threshold(&self) -> u32 {
        self.threshold
    }

    #[inline(always)]
    fn spun(&self, lock: LockAddress, want: u32, serving: u32) -> Patience {
        match &self.handshake {
            None => Patience::Left,
            Some(handshake) => handshake.spun(&self.platform, self.me, lock, want, serving),
        }
    }

    #[inline(always)]
    fn queue(&self) -> Seat<'_> {
        self.platform.queue().seat(self.index)
    }

    #[inline(always)]
    fn waits_early(&self) -> bool {
        self.wait_early == WaitEarly::On
    }

    fn lock_spinning<S: SlowPath>(&self, lock: &S, want: u32) -> Waited {
        match self.backend {
            Backend::Native => Waited::LookAgain,
            Backend::Kvm => kvm::lock_spinning(self, lock, want),
            Backend::Xen => xen::lock_spinning(self, lock, want),
        }
    }

    fn unlock_kick(&self, lock: LockAddress, ticket: u32) {
        match self.backend {
            Backend::Native => {}
            Backend::Kvm => kvm::unlock_kick(self, lock, ticket),
            Backend::Xen => xen::unlock_kick(self, lock, ticket),
        }
    }

    #[cold]
    fn taken_slowly(&self, lock: LockAddress, want: u32) {
        self.note(Step::Acquire, lock, want);
    }

    #[cold]
    fn linger(&self) {
        for _ in 0..self.linger {
            core::hint::spin_loop();
        }
    }

    #[cold]
    fn touched_after_release(&self) {
        stats::add(&self.me.touch_after_unlock, 1);
    }
}
