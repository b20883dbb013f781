//! Carrying out `--kick-fault`: what was drawn for each kick, and those that come later.
//!
//! A delayed kick is late, never lost: the kicker goes on at once, the main loop delivers it when its
//! time has come, and a pause delivers all that are left. A machine that ends takes them with it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use vmm_sys_util::timerfd::TimerFd;

use super::apic_id::VcpuIndex;
use super::fault::{Fault, KickFaults, other_vcpu};
use super::kick::Kicker;

/// Delayed kicks that may wait for each vCPU of the machine: a guest decides how many it sends.
const LATE_PER_VCPU: usize = 64;

/// What went wrong so far. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub struct FaultStats {
    /// Kicks swallowed.
    pub dropped: AtomicU64,
    /// Kicks delivered twice.
    pub duplicated: AtomicU64,
    /// Kicks that were to go to another vCPU.
    pub misrouted: AtomicU64,
    /// Targets whose kick was put off.
    pub delayed: AtomicU64,
    /// Of those, delivered before their time because the machine was paused.
    pub flushed: AtomicU64,
    /// Kicks that were to be put off and were not, because too many waited already.
    pub crowded: AtomicU64,
}

/// A kick that comes later.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) number: u64,
    pub(super) fault: Fault,
    pub(super) from: Kicker,
    pub(super) target: VcpuIndex,
}

/// All are put off for as long, so they fall due in their order.
#[derive(Debug)]
struct Waiting {
    queue: VecDeque<(Instant, Late)>,
    timer: TimerFd,
}

/// The kicks of one machine that go wrong.
#[derive(Debug)]
pub struct FaultyKicks {
    faults: KickFaults,
    seed: u64,
    vcpus: u32,
    stats: FaultStats,
    timer: RawFd,
    waiting: Mutex<Waiting>,
    /// Held from the moment at which a late kick leaves the queue to its delivery, so that whoever finds
    /// the queue empty knows that all have arrived. Taken before `waiting`.
    delivering: Mutex<()>,
}

impl FaultyKicks {
    /// In a machine of `vcpus` vCPUs.
    ///
    /// # Errors
    /// What timerfd_create says.
    pub fn new(faults: KickFaults, seed: u64, vcpus: u32) -> io::Result<Self> {
        let timer = TimerFd::new()?;
        Ok(Self {
            faults,
            seed,
            vcpus,
            stats: FaultStats::default(),
            timer: timer.as_raw_fd(),
            waiting: Mutex::new(Waiting {
                queue: VecDeque::new(),
                timer,
            }),
            delivering: Mutex::new(()),
        })
    }

    /// What was asked for.
    pub fn faults(&self) -> KickFaults {
        self.faults
    }

    /// The seed of the draws.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The counters.
    pub fn stats(&self) -> &FaultStats {
        &self.stats
    }

    /// Readable when a delayed kick is due; as long as `self` lives.
    pub fn timer(&self) -> RawFd {
        self.timer
    }

    /// Delayed kicks that are not delivered yet.
    pub fn waiting(&self) -> u64 {
        u64::try_from(self.lock().queue.len()).unwrap_or(u64::MAX)
    }

    /// What becomes of the kick of this number. Called once for each.
    pub(super) fn fate(&self, number: u64) -> Fault {
        let fault = self.faults.fate(self.seed, number);
        let count = match fault {
            Fault::None => return fault,
            Fault::Drop => &self.stats.dropped,
            Fault::Duplicate => &self.stats.duplicated,
            Fault::Misroute { .. } => &self.stats.misrouted,
        };
        count.fetch_add(1, Relaxed);
        fault
    }

    /// Who gets a kick for `target` that goes astray.
    pub(super) fn other(&self, draw: u64, target: VcpuIndex) -> Option<VcpuIndex> {
        other_vcpu(draw, target.0, self.vcpus).map(VcpuIndex)
    }

    /// Puts a kick off; whether it was, which takes a delay, room, and a timer that can be set.
    pub(super) fn put_off(&self, late: Late) -> bool {
        if self.faults.delay.is_zero() {
            return false;
        }
        let mut waiting = self.lock();
        let room =
            usize::try_from(self.vcpus).map_or(usize::MAX, |n| n.saturating_mul(LATE_PER_VCPU));
        if waiting.queue.len() >= room {
            self.stats.crowded.fetch_add(1, Relaxed);
            return false;
        }
        if waiting.queue.is_empty() && waiting.timer.reset(self.faults.delay, None).is_err() {
            return false;
        }
        let due = Instant::now() + self.faults.delay;
        waiting.queue.push_back((due, late));
        self.stats.delayed.fetch_add(1, Relaxed);
        true
    }

    /// Delivers all that are due.
    pub(super) fn deliver_due(&self, deliver: impl Fn(&Late)) {
        self.deliver(Self::take_due, deliver);
    }

    /// Delivers all, and waits for those that another thread is delivering.
    pub(super) fn flush(&self, deliver: impl Fn(&Late)) {
        self.deliver(Self::take_any, deliver);
    }

    fn deliver(&self, take: fn(&Self) -> Option<Late>, deliver: impl Fn(&Late)) {
        let _delivering = self
            .delivering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while let Some(late) = take(self) {
            deliver(&late);
        }
    }

    /// The next that is due; sets the timer for the one after.
    fn take_due(&self) -> Option<Late> {
        let mut waiting = self.lock();
        let rest = match waiting.queue.front() {
            Some((due, _)) => due.saturating_duration_since(Instant::now()),
            None => {
                // It has gone off, and stays readable until it is set anew.
                let _ = waiting.timer.clear();
                return None;
            }
        };
        if !rest.is_zero() {
            // With a time that is not 0 and a descriptor of its own it cannot fail; if it does, the
            // kick comes with the next, or at a pause.
            let _ = waiting.timer.reset(rest, None);
            return None;
        }
        waiting.queue.pop_front().map(|(_, late)| late)
    }

    /// The next, due or not.
    fn take_any(&self) -> Option<Late> {
        let (_, late) = self.lock().queue.pop_front()?;
        self.stats.flushed.fetch_add(1, Relaxed);
        Some(late)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "faulty_test.rs"]
mod tests;
