//! Clocks that must not go back: the checks, and KVM's paravirtual clock.

use core::sync::atomic::{
    AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed},
    fence,
};

/// [`PvClock::flags`]: all CPUs' pages tell the same time (`PVCLOCK_TSC_STABLE_BIT`).
pub const PVCLOCK_TSC_STABLE: u8 = 1 << 0;
/// [`PvClock::flags`]: the host has stopped this guest for a while (`PVCLOCK_GUEST_STOPPED`).
pub const PVCLOCK_GUEST_STOPPED: u8 = 1 << 1;

/// A clock as one CPU sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Monotonic {
    last: u64,
}

impl Monotonic {
    /// Whether the clock, which shows `now`, has gone back. It goes on from there, so that one
    /// step back is one finding.
    #[inline]
    pub fn has_gone_back(&mut self, now: u64) -> bool {
        let has_gone_back = now < self.last;
        self.last = now;
        has_gone_back
    }
}

/// Turns in which a CPU finds out how far the CPUs' TSCs differ, before it judges them.
pub const LEARNING_TURNS: u32 = 256;

/// What comparing two CPUs' TSCs shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The later one is not less.
    Kept,
    /// The later one is less by this many cycles, and that is how this machine is.
    Learnt(u64),
    /// The later one is less, by more than this machine's TSCs differ.
    Broken,
}

/// The order of the TSCs of two CPUs that took one lock after the other.
///
/// As Linux' `check_tsc_warp`: the first reads its TSC before it releases the lock, the second
/// after it has got it, so the second must not read less where the TSCs are in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    turns_to_learn: u32,
}

impl Handover {
    /// A CPU that has everything to learn.
    pub const fn new() -> Self {
        Self {
            turns_to_learn: LEARNING_TURNS,
        }
    }

    /// The holder before read `before`, this one reads `now`; `skew` is the greatest difference
    /// that was learnt so far.
    ///
    /// A machine whose TSCs are in step has a skew of 0 and is held to that. One whose TSCs are not
    /// shows the difference less the time of the handover, which varies: it is allowed up to the
    /// next power of two.
    #[inline]
    pub fn judge(&mut self, before: u64, now: u64, skew: u64) -> Order {
        let back = before.saturating_sub(now);
        if self.turns_to_learn > 0 {
            self.turns_to_learn -= 1;
            return match back {
                0 => Order::Kept,
                _ => Order::Learnt(back),
            };
        }
        let allowed = match skew {
            0 => 0,
            _ => skew.checked_next_power_of_two().unwrap_or(u64::MAX),
        };
        if back > allowed {
            Order::Broken
        } else {
            Order::Kept
        }
    }
}

impl Default for Handover {
    fn default() -> Self {
        Self::new()
    }
}

/// `pvclock_vcpu_time_info` (Linux Documentation/virt/kvm/x86/msr.rst): one CPU's page, written by
/// KVM while that CPU is out of the guest.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct PvClock {
    /// Odd while KVM writes; 0 before it has ever written.
    pub version: AtomicU32,
    /// Aligns what follows.
    pub pad: u32,
    /// TSC at [`Self::system_time`].
    pub tsc_timestamp: AtomicU64,
    /// Time in ns at [`Self::tsc_timestamp`].
    pub system_time: AtomicU64,
    /// ns per cycle, times 2^32, once [`Self::tsc_shift`] is done.
    pub tsc_to_system_mul: AtomicU32,
    /// Shift of the cycles before they are multiplied: a signed number, to the left.
    pub tsc_shift: AtomicU8,
    /// `PVCLOCK_*`.
    pub flags: AtomicU8,
    /// Fills the structure to the 32 bytes of the ABI.
    pub pad_end: [u8; 2],
}

/// The time as a [`PvClock`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PvTime {
    /// The TSC that it was read at.
    pub tsc: u64,
    /// Time in ns.
    pub ns: u64,
    /// Whether other CPUs' pages tell the same time.
    pub is_stable: bool,
    /// Whether the host has stopped the guest since the last look.
    pub was_stopped: bool,
}

impl PvClock {
    /// A page that KVM has never written.
    pub const fn new() -> Self {
        Self {
            version: AtomicU32::new(0),
            pad: 0,
            tsc_timestamp: AtomicU64::new(0),
            system_time: AtomicU64::new(0),
            tsc_to_system_mul: AtomicU32::new(0),
            tsc_shift: AtomicU8::new(0),
            flags: AtomicU8::new(0),
            pad_end: [0; 2],
        }
    }

    /// Reads the time by the version protocol; `None` if KVM has never written. `tsc` reads this
    /// CPU's TSC, in order with the loads around it.
    ///
    /// The mark that the guest was stopped is taken back, as Linux does. KVM leaves a mark alone that
    /// is still there, and this CPU's page is written by KVM only while this code does not run.
    #[inline]
    pub fn read(&self, mut tsc: impl FnMut() -> u64) -> Option<PvTime> {
        loop {
            // Acquire: what is read below is no older than the version.
            let version = self.version.load(Acquire);
            if version == 0 {
                return None;
            }
            let tsc = tsc();
            let cycles = tsc.wrapping_sub(self.tsc_timestamp.load(Relaxed));
            let multiplier = self.tsc_to_system_mul.load(Relaxed);
            let shift = self.tsc_shift.load(Relaxed).cast_signed();
            let flags = self.flags.load(Relaxed);
            let ns = self.system_time.load(Relaxed);
            let ns = ns.wrapping_add(cycles_to_ns(cycles, multiplier, shift));
            // Acquire: what was read above is no newer than the version.
            fence(Acquire);
            if version.is_multiple_of(2) && self.version.load(Relaxed) == version {
                let was_stopped = flags & PVCLOCK_GUEST_STOPPED != 0;
                if was_stopped {
                    self.flags.store(flags & !PVCLOCK_GUEST_STOPPED, Relaxed);
                }
                return Some(PvTime {
                    tsc,
                    ns,
                    is_stable: flags & PVCLOCK_TSC_STABLE != 0,
                    was_stopped,
                });
            }
        }
    }
}

impl Default for PvClock {
    fn default() -> Self {
        Self::new()
    }
}

/// `cycles * 2^shift * multiplier / 2^32`.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a time beyond 2^64 ns is no time"
)]
fn cycles_to_ns(cycles: u64, multiplier: u32, shift: i8) -> u64 {
    let amount = u32::from(shift.unsigned_abs());
    let cycles = if shift < 0 {
        cycles.checked_shr(amount)
    } else {
        cycles.checked_shl(amount)
    };
    ((u128::from(cycles.unwrap_or(0)) * u128::from(multiplier)) >> 32) as u64
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "clocks_test.rs"]
mod tests;
