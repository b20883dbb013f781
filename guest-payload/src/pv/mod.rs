//! `pv_lock_ops`: what a lock calls when it would spin for too long, and when it releases a lock
//! that somebody waits for in the slow path.
//!
//! As in the kernel, a lock knows nothing of hypervisors and a backend knows nothing of a lock's
//! layout. A backend is one file of this folder and one variant of [`Backend`].

mod kvm;
mod waiting;
mod xen;

pub use waiting::{PerCpu, WaitingCpus};

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

/// What a lock offers to a backend while it waits.
pub trait SlowPath {
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

    /// The lock has spun for [`threshold`](Self::threshold) turns and waits for ticket `want`
    /// (0 for locks without tickets). May halt this CPU until it is kicked.
    fn lock_spinning<S: SlowPath>(&self, lock: &S, want: u32) -> Waited;

    /// The lock was released and `ticket` is next: kicks the CPU that waits for it, if any.
    /// By address, because the lock may be gone.
    fn unlock_kick(&self, lock: LockAddress, ticket: u32);

    /// The lock was taken after at least one [`lock_spinning`](Self::lock_spinning) for ticket
    /// `want`.
    fn taken_slowly(&self, lock: LockAddress, want: u32) {
        let _ = (lock, want);
    }

    /// The lock has looked at itself after its release and seen freed memory.
    fn touched_after_release(&self);

    /// Spends time between a release and what the lock does after it. See
    /// [`Unlock::Lingering`](crate::key::Unlock::Lingering).
    fn linger(&self) {}
}

/// Who waits and kicks for the locks of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Nobody: locks spin, and the unlock site stays a nop.
    Native,
    /// HLT and the `KVM_HC_KICK_CPU` hypercall.
    Kvm,
    /// `SCHEDOP_poll` and `EVTCHNOP_send`.
    Xen,
}

impl Backend {
    /// Its number in the results page.
    pub const fn number(self) -> u32 {
        match self {
            Self::Native => 0,
            Self::Kvm => 1,
            Self::Xen => 2,
        }
    }

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Kvm => "kvm",
            Self::Xen => "xen",
        }
    }

    /// The backend with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Native),
            1 => Some(Self::Kvm),
            2 => Some(Self::Xen),
            _ => None,
        }
    }
}

/// What a backend needs of the machine.
pub trait Platform {
    /// Halts this CPU until it is kicked; returns at once, and uses the kick up, if one came
    /// before. Interrupts are off, so a lost kick is for ever.
    fn halt(&self);

    /// Unhalts the CPU with this x2APIC ID, or makes its next halt return at once.
    fn kick(&self, apic_id: u32);

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

    /// The TSC, for what is traced.
    fn now_tsc(&self) -> u64 {
        0
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
    trace: Option<Trace<'a>>,
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
            trace: None,
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

    /// The same CPU, which notes the steps of its slow paths in `trace`.
    pub fn with_trace(self, trace: Option<Trace<'a>>) -> Self {
        Self { trace, ..self }
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
