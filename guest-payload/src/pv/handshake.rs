//! The guest's side of the handshake and of pause-loop exiting in software: what a CPU tells a host
//! that has asked for it, and when it leaves its spin loop for it.
//!
//! The page and its slots are [`abi::handshake`](crate::abi::handshake). A CPU whose host has asked
//! for nothing has none of this, and its spin loops are one branch longer.

use core::cell::Cell;
use core::num::NonZeroU32;
use core::sync::atomic::Ordering::{Relaxed, Release};

use super::ops::{Patience, Platform};
use crate::abi::CpuResults;
use crate::abi::handshake::{
    self as abi, ADVICE_GIVE_BACK, ADVICE_HALT, ADVICE_NONE, APIC_ID_NONE, HOST_ADVISES,
    HOST_PREEMPTS, HOST_READS_SLOTS, HOST_SPIN_EXITS, HandshakeSlot, SpinExit,
};
use crate::lock::LockAddress;
use crate::stats;

/// What the host has asked for before the start, as far as a guest of this version can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked(NonZeroU32);

impl Asked {
    /// `None` where nothing is asked for. Without a gap no two PAUSEs belong to one loop, so there
    /// are no spin exits, as with `ple_gap=0`.
    fn of(page: &abi::Handshake) -> Option<Self> {
        const KNOWN: u32 = HOST_SPIN_EXITS | HOST_READS_SLOTS | HOST_ADVISES | HOST_PREEMPTS;
        let mut bits = page.host.load(Relaxed) & KNOWN;
        if page.gap_cycles.load(Relaxed) == 0 {
            bits &= !HOST_SPIN_EXITS;
        }
        NonZeroU32::new(bits).map(Self)
    }

    fn has(self, bits: u32) -> bool {
        self.0.get() & bits != 0
    }
}

/// Whether the host that filled `page` has asked for anything.
pub fn is_asked_for(page: &abi::Handshake) -> bool {
    Asked::of(page).is_some()
}

/// Whether the host that filled `page` wants to hear of every acquire and release.
pub fn watches_holders(page: &abi::Handshake) -> bool {
    Asked::of(page).is_some_and(|asked| asked.has(WATCHES_HOLDERS))
}

/// Advice is for one wait, whose end only the acquire tells.
const WATCHES_HOLDERS: u32 = HOST_READS_SLOTS | HOST_ADVISES | HOST_PREEMPTS;

/// Makes `slots`, which are at `slots_gpa`, ready for their CPUs and shows them to the host.
pub fn publish(page: &abi::Handshake, slots: &[HandshakeSlot], slots_gpa: u64) {
    let window = page.window_pauses.load(Relaxed);
    for slot in slots {
        slot.apic_id.store(APIC_ID_NONE, Relaxed);
        slot.window_pauses.store(window, Relaxed);
    }
    page.slots_gpa.store(slots_gpa, Relaxed);
    let count = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    // Release: a host that loads the count with Acquire sees the address and the slots.
    page.slot_count.store(count, Release);
}

/// What the draws of CPU `index` begin with: as many steps of SplitMix64 (Steele, Lea, Flood 2014) from
/// `seed`, so that near seeds have nothing in common. Never 0, from which xorshift does not get away.
fn first_state(seed: u64, index: usize) -> u64 {
    let steps = (index as u64).wrapping_add(1);
    let mut z = seed.wrapping_add(steps.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).max(1)
}

/// One CPU's part in it. Only this CPU uses it, so the cells need no atomics.
#[derive(Debug)]
pub struct Handshake<'a> {
    asked: Asked,
    slot: &'a HandshakeSlot,
    gap_cycles: u64,
    exit_at_acquire: u32,
    exit_at_release: u32,
    /// PAUSEs of this loop so far.
    pauses: Cell<u32>,
    /// TSC at the last of them.
    last_pause: Cell<u64>,
    /// The lock and ticket that this CPU waits for.
    waiting: Cell<Option<(LockAddress, u32)>>,
    random: Cell<u64>,
}

impl<'a> Handshake<'a> {
    /// Of CPU `index` with the x2APIC ID `apic_id`; `None` where the host has asked for nothing,
    /// and where the CPU has no slot.
    pub fn new(
        page: &abi::Handshake,
        slots: &'a [HandshakeSlot],
        index: usize,
        apic_id: u32,
    ) -> Option<Self> {
        let asked = Asked::of(page)?;
        let slot = slots.get(index)?;
        // Release: who finds the ID finds the slot as it was published.
        slot.apic_id.store(apic_id, Release);
        Some(Self {
            asked,
            slot,
            gap_cycles: page.gap_cycles.load(Relaxed).into(),
            exit_at_acquire: page.exit_at_acquire.load(Relaxed),
            exit_at_release: page.exit_at_release.load(Relaxed),
            pauses: Cell::new(0),
            last_pause: Cell::new(0),
            waiting: Cell::new(None),
            random: Cell::new(first_state(page.seed.load(Relaxed), index)),
        })
    }

    /// One turn of a spin loop: see [`PvLockOps::spun`](super::PvLockOps::spun).
    #[cold]
    #[inline(never)]
    pub(super) fn spun<H: Platform>(
        &self,
        platform: &H,
        me: &CpuResults,
        lock: LockAddress,
        want: u32,
        serving: u32,
    ) -> Patience {
        if self.waiting.get() != Some((lock, want)) {
            self.begin_wait(lock, want);
        }
        if self.asked.has(HOST_SPIN_EXITS) && self.has_window_ended(platform.now_tsc()) {
            // Where nobody reads slots the wait was not announced.
            self.announce(lock, want);
            self.slot.serving.store(serving, Relaxed);
            stats::add(&me.spin_exits, 1);
            platform.spin_exit(SpinExit::Spinning);
        }
        if self.asked.has(HOST_ADVISES) && self.slot.advice.load(Relaxed) == ADVICE_HALT {
            self.slot.advice.store(ADVICE_NONE, Relaxed);
            return Patience::Gone;
        }
        Patience::Left
    }

    fn begin_wait(&self, lock: LockAddress, want: u32) {
        self.waiting.set(Some((lock, want)));
        if self.asked.has(HOST_ADVISES) {
            self.slot.advice.store(ADVICE_NONE, Relaxed);
        }
        if self.asked.has(HOST_READS_SLOTS) {
            self.announce(lock, want);
        }
    }

    /// The ticket first, so that a host which sees the lock sees its ticket. The Release pairs with
    /// the host's Acquire.
    fn announce(&self, lock: LockAddress, want: u32) {
        self.slot.ticket.store(want, Relaxed);
        self.slot.waiting_lock.store(lock.get(), Release);
    }

    /// Counts a PAUSE at `now`; whether it is the last of the window, which the host may have
    /// changed meanwhile.
    fn has_window_ended(&self, now: u64) -> bool {
        let since = now.wrapping_sub(self.last_pause.replace(now));
        let before = if since <= self.gap_cycles {
            self.pauses.get()
        } else {
            0
        };
        let pauses = before.saturating_add(1);
        let has_ended = pauses >= self.slot.window_pauses.load(Relaxed);
        self.pauses.set(if has_ended { 0 } else { pauses });
        has_ended
    }

    /// `lock` was taken.
    pub fn taken<H: Platform>(&self, platform: &H, lock: LockAddress) {
        let waited = self.waiting.take().is_some();
        if self.asked.has(HOST_READS_SLOTS) {
            self.slot.holding_lock.store(lock.get(), Release);
            if waited {
                self.slot.waiting_lock.store(0, Release);
            }
        }
        if self.draws(self.exit_at_acquire) {
            platform.spin_exit(SpinExit::Acquired);
        }
    }

    /// The lock that was taken last is about to be released.
    pub fn releasing<H: Platform>(&self, platform: &H) {
        if self.draws(self.exit_at_release) {
            platform.spin_exit(SpinExit::Releasing);
        }
        if self.asked.has(HOST_READS_SLOTS) {
            // Release: before the release of the lock itself, so that no host sees two holders.
            self.slot.holding_lock.store(0, Release);
        }
    }

    /// This CPU is outside all locks. A pCPU that was lent for what it did inside goes back: on its own
    /// it would queue for the lock again at once, behind the lender, who could not be served.
    #[inline]
    pub fn outside<H: Platform>(&self, platform: &H) {
        // An unlock may have waited too, for a CPU that was lining up.
        if self.waiting.take().is_some() {
            self.slot.waiting_lock.store(0, Release);
        }
        if self.asked.has(HOST_ADVISES) && self.slot.advice.load(Relaxed) == ADVICE_GIVE_BACK {
            self.slot.advice.store(ADVICE_NONE, Relaxed);
            platform.spin_exit(SpinExit::Released);
        }
    }

    /// Draws once; true for `share` of 2^32 draws. xorshift64*, as the workload's.
    fn draws(&self, share: u32) -> bool {
        if share == 0 || !self.asked.has(HOST_PREEMPTS) {
            return false;
        }
        let mut state = self.random.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random.set(state);
        let drawn = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        // The largest share is all of them.
        drawn < u64::from(share) || share == u32::MAX
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "handshake_test.rs"]
mod tests;
