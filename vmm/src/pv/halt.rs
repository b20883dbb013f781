//! The halt of `--halt vmm`: one word a vCPU that holds `pv_unhalted`, the halt itself, INIT and
//! SIPI, and requests of the VMM. No wake-up is lost because every change is an atomic
//! read-modify-write of that one word, and a vCPU parks only while the word still says that
//! nothing has come.

use std::time::{Duration, Instant};

use super::futex::Futex;
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed};
use crate::sync::release;

/// A kick came and no halt has consumed it.
const PV_UNHALTED: u32 = 1 << 0;
/// The vCPU is halted: it waits, or is about to wait, for any of the other bits.
const HALTED: u32 = 1 << 1;
/// The VMM wants the thread's attention.
const REQUEST: u32 = 1 << 2;
/// INIT came.
const INIT: u32 = 1 << 3;
/// SIPI came; its vector is in the bits from [`VECTOR_SHIFT`].
const SIPI: u32 = 1 << 4;
/// The vCPU waits for SIPI, or will once it has seen its INIT.
const WAITS_FOR_SIPI: u32 = 1 << 5;
/// Under the VMM's scheduler: the vCPU was given a token and has not taken it up.
const TOKEN: u32 = 1 << 6;
/// Under the VMM's scheduler: the vCPU could run, and its thread waits for a token, or is about to.
const QUEUED: u32 = 1 << 7;
const VECTOR_SHIFT: u32 = 8;
const VECTOR_MASK: u32 = 0xff << VECTOR_SHIFT;

/// Why a halted vCPU goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// It was kicked, now or before it halted; `pv_unhalted` is consumed.
    Kicked,
    /// The VMM wants the thread's attention; the vCPU is still halted.
    Request,
    /// INIT came; the vCPU waits for SIPI now.
    Init,
}

/// Why a vCPU stops waiting for SIPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// SIPI with this vector.
    Sipi(u8),
    /// The VMM wants the thread's attention.
    Request,
}

/// What a vCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It runs, or would if it had a pCPU.
    Runs,
    /// It is halted.
    Halted,
    /// It waits for SIPI.
    WaitsForSipi,
}

/// What a kick met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// A halted vCPU, which it wakes.
    Halted,
    /// A running vCPU: `pv_unhalted` is set.
    Running,
    /// A vCPU that waits for SIPI. It sleeps on; starting clears `pv_unhalted`.
    WaitsForSipi,
}

/// What a [`HaltState`] holds, apart from the VMM's own requests. The bits are part of the snapshot
/// format: they keep their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SavedHalt(u32);

impl TryFrom<u32> for SavedHalt {
    type Error = BadHalt;

    fn try_from(word: u32) -> Result<Self, BadHalt> {
        const KNOWN: u32 = PV_UNHALTED | HALTED | INIT | SIPI | WAITS_FOR_SIPI | VECTOR_MASK;
        if word & !KNOWN == 0 {
            Ok(Self(word))
        } else {
            Err(BadHalt(word))
        }
    }
}

impl From<SavedHalt> for u32 {
    fn from(saved: SavedHalt) -> Self {
        saved.0
    }
}

impl SavedHalt {
    /// Whether a kick waits to be consumed.
    pub fn pv_unhalted(self) -> bool {
        self.0 & PV_UNHALTED != 0
    }

    /// The same without its kick: what is left where nobody saves `pv_unhalted`.
    #[must_use]
    pub fn without_kick(self) -> Self {
        Self(self.0 & !PV_UNHALTED)
    }
}

/// No halt word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:#x} has bits that no halt word has")]
pub struct BadHalt(u32);

/// `pv_unhalted` of one vCPU and the place where its thread parks.
#[derive(Debug, Default)]
pub struct HaltState {
    word: Futex,
}

impl HaltState {
    /// An application processor's: it waits for SIPI from the start.
    pub fn waiting_for_sipi() -> Self {
        let state = Self::default();
        state.word.fetch_or(WAITS_FOR_SIPI, Relaxed);
        state
    }

    /// Kicks this vCPU. n kicks are one bit.
    ///
    /// Release: what the kicker wrote before the kick (the released lock) is seen by the woken
    /// vCPU, whose consumption in [`Self::halt`] is the matching Acquire.
    pub fn kick(&self) -> Met {
        let met = self.kick_asleep();
        if met == Met::Halted {
            self.word.wake_one();
        }
        met
    }

    /// As [`Self::kick`], but a halted vCPU's thread sleeps on until [`Self::grant`]: it has no use
    /// for a wake-up without a token. The caller tells the scheduler.
    pub fn kick_asleep(&self) -> Met {
        let before = self.word.fetch_or(PV_UNHALTED, release());
        if before & WAITS_FOR_SIPI != 0 {
            Met::WaitsForSipi
        } else if before & HALTED != 0 {
            Met::Halted
        } else {
            Met::Running
        }
    }

    /// Asks the thread to look at its control requests.
    pub fn request(&self) {
        if self.word.fetch_or(REQUEST, release()) & (HALTED | QUEUED) != 0 {
            self.word.wake_one();
        }
    }

    /// INIT: a halted vCPU wakes into waiting for SIPI. A running one must also be sent out of
    /// KVM_RUN by the caller.
    ///
    /// A SIPI that nobody has taken yet is void (`kvm_apic_accept_events`: KVM's INIT clears it).
    pub fn init(&self) {
        let mut word = self.word.load(Acquire);
        loop {
            let new = word & !(SIPI | VECTOR_MASK) | INIT | WAITS_FOR_SIPI;
            match self.word.compare_exchange(word, new, release(), Acquire) {
                Ok(_) if word & HALTED != 0 => return self.word.wake_one(),
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// SIPI with `vector`. Counts only after INIT; the first one wins (SDM vol. 3, 9.4).
    pub fn sipi(&self, vector: u8) {
        let mut word = self.word.load(Acquire);
        while word & (WAITS_FOR_SIPI | SIPI) == WAITS_FOR_SIPI {
            let new = word | SIPI | u32::from(vector) << VECTOR_SHIFT;
            match self.word.compare_exchange(word, new, release(), Acquire) {
                Ok(_) if word & HALTED != 0 => return self.word.wake_one(),
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Halts until a kick, INIT or request. A kick that came before returns at once. Looks for
    /// one for as long as `poll` before it parks.
    pub fn halt(&self, poll: Duration) -> Wake {
        self.word.fetch_or(HALTED, Relaxed);
        if !poll.is_zero() {
            self.poll(poll, || false);
        }
        self.sleep_until(PV_UNHALTED)
    }

    /// Looks, having said that it halts, for anything that has come, for as long as `poll` or until
    /// it `must_end`.
    fn poll(&self, poll: Duration, must_end: impl Fn() -> bool) {
        let start = Instant::now();
        while self.word.load(Relaxed) == HALTED && !must_end() && start.elapsed() < poll {
            std::hint::spin_loop();
        }
    }

    /// Sleeps until all bits of `wanted`, which it uses up, or INIT or a request.
    fn sleep_until(&self, wanted: u32) -> Wake {
        loop {
            // Acquire: pairs with the Release of `kick`, `grant`, `init` and `request`.
            let word = self.word.load(Acquire);
            let (keep, wake) = if word & INIT != 0 {
                (!(INIT | HALTED | PV_UNHALTED), Wake::Init)
            } else if word & wanted == wanted {
                (!(wanted | HALTED), Wake::Kicked)
            } else if word & REQUEST != 0 {
                (!REQUEST, Wake::Request)
            } else {
                self.word.wait_while(word);
                continue;
            };
            if self.consume(word, word & keep) {
                return wake;
            }
        }
    }

    /// Waits for SIPI. Kicks are kept and cost nothing; starting clears `pv_unhalted`, as KVM does
    /// on every move to RUNNABLE since Linux 6.15.
    pub fn wait_for_sipi(&self) -> Start {
        self.word.fetch_or(HALTED, Relaxed);
        loop {
            let word = self.word.load(Acquire);
            if word & SIPI != 0 {
                if self.consume(word, word & REQUEST) {
                    let vector = (word & VECTOR_MASK) >> VECTOR_SHIFT;
                    return Start::Sipi(u8::try_from(vector).unwrap_or(0));
                }
            } else if word & REQUEST != 0 {
                if self.consume(word, word & !REQUEST) {
                    return Start::Request;
                }
            } else {
                self.word.wait_while(word);
            }
        }
    }

    /// Takes what `word` says, unless more has come since it was read: an INIT that voids the
    /// SIPI in it must not be wiped together with that SIPI.
    fn consume(&self, word: u32, rest: u32) -> bool {
        self.word
            .compare_exchange(word, rest, AcqRel, Relaxed)
            .is_ok()
    }

    /// Takes a pending INIT of a vCPU that was running; it has to wait for SIPI then.
    pub fn take_init(&self) -> bool {
        if self.word.load(Acquire) & INIT == 0 {
            return false;
        }
        self.word.fetch_and(!(INIT | PV_UNHALTED), AcqRel) & INIT != 0
    }

    /// INIT or SIPI came and the vCPU has not acted on it yet.
    pub fn has_pending_start(&self) -> bool {
        self.word.load(Acquire) & (INIT | SIPI) != 0
    }

    /// All that a restored vCPU has to know. Only while the vCPU stands still.
    pub fn save(&self) -> SavedHalt {
        SavedHalt(self.word.load(Acquire) & !(REQUEST | TOKEN | QUEUED))
    }

    /// Takes over what was saved; a request of the VMM's own stays. Only while the vCPU stands
    /// still.
    pub fn load(&self, saved: SavedHalt) {
        let mut word = self.word.load(Acquire);
        while let Err(now) =
            self.word
                .compare_exchange(word, saved.0 | word & REQUEST, AcqRel, Acquire)
        {
            word = now;
        }
    }

    /// What the vCPU does now, for people: it may do something else by the time they read it.
    pub fn doing(&self) -> Doing {
        // Relaxed: nothing follows from it.
        let word = self.word.load(Relaxed);
        if word & WAITS_FOR_SIPI != 0 {
            Doing::WaitsForSipi
        } else if word & HALTED != 0 {
            Doing::Halted
        } else {
            Doing::Runs
        }
    }

    /// The flag, for inspection.
    pub fn pv_unhalted(&self) -> bool {
        self.word.load(Acquire) & PV_UNHALTED != 0
    }
}

#[path = "halt_tokens.rs"]
mod tokens;
pub use tokens::{Handed, Seated};

#[cfg(all(test, loom))]
#[path = "halt_loom_test.rs"]
#[expect(unsafe_code, reason = "loom's cells")]
mod loom_tests;

#[cfg(all(test, not(loom)))]
#[path = "halt_test.rs"]
mod tests;
