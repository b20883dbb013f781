//! One CPU as its locks see it: its numbers, its settings, and what it notes of its slow paths.

use super::backend::Backend;
use super::handshake::Handshake;
use super::ops::{Platform, WaitEarly};
use super::waiting::{PerCpu, WaitingCpus};
use crate::lock::LockAddress;
use crate::stats;
use crate::trace::{About, Step, Trace};

/// Spins before the slow path: V8's `SPIN_THRESHOLD`, 2^11.
pub const SPIN_THRESHOLD: u32 = 1 << 11;

/// One CPU as its locks see it: its backend, and the places where it meets the other CPUs.
#[derive(Debug)]
pub struct Cpu<'a, H: Platform> {
    pub(super) index: usize,
    pub(super) me: &'a PerCpu,
    pub(super) cpus: &'a [PerCpu],
    pub(super) waiting_cpus: &'a WaitingCpus,
    pub(super) backend: Backend,
    pub(super) threshold: u32,
    pub(super) linger: u32,
    pub(super) window: u32,
    pub(super) wait_early: WaitEarly,
    pub(super) trace: Option<Trace<'a>>,
    pub(super) handshake: Option<Handshake<'a>>,
    pub(super) platform: H,
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
    pub(super) fn note(&self, step: Step, lock: LockAddress, ticket: u32) {
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
    pub(super) fn traced_now(&self) -> u64 {
        self.trace.map_or(0, |_| self.platform.now_tsc())
    }

    /// Notes that the CPU `target` is kicked for `ticket`, `lock` having been released at
    /// `released`.
    #[inline]
    pub(super) fn note_release(&self, released: u64, lock: LockAddress, ticket: u32, target: u32) {
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
    pub(super) fn time_kick(&self, kick: impl FnOnce(&H)) {
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
