//! The handshake: a page that a guest may offer and a host may use, so that the host knows who
//! holds and who waits for which lock, and the guest knows when its holder is off its pCPU.
//!
//! Optional on both sides. A guest that offers it names the page in its ELF note
//! [`NOTE_HANDSHAKE`](super::NOTE_HANDSHAKE); a host that uses it sets bits of [`Handshake::host`]
//! before the first instruction. A guest that finds none of them set fills nothing and never leaves
//! through the `spin_exit` stub. All of it is advice: a host that believes a lying guest schedules
//! that guest badly, and nothing else; a guest that believes a lying host halts too early or too
//! late, and its kicks wake it all the same.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// First field of [`Handshake`]: "vmmHANDS" in memory order.
pub const HANDSHAKE_MAGIC: u64 = u64::from_le_bytes(*b"vmmHANDS");
/// Version of the structures below.
pub const HANDSHAKE_VERSION: u32 = 1;

/// [`Handshake::host`]: the guest leaves through `spin_exit` after a window of PAUSEs.
pub const HOST_SPIN_EXITS: u32 = 1 << 0;
/// [`Handshake::host`]: the host reads who holds and who waits; the guest fills its slots.
pub const HOST_READS_SLOTS: u32 = 1 << 1;
/// [`Handshake::host`]: the host writes [`HandshakeSlot::advice`]; the guest looks at it while it
/// spins.
pub const HOST_ADVISES: u32 = 1 << 2;
/// [`Handshake::host`]: the host wants to preempt at acquires or releases; the guest leaves through
/// `spin_exit` at the shares that [`Handshake::exit_at_acquire`] and its sibling say.
pub const HOST_PREEMPTS: u32 = 1 << 3;

/// Why a vCPU calls the `spin_exit` stub: AL, which the host's `out` carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SpinExit {
    /// It has spun for a whole window.
    Spinning = 0,
    /// It has just taken a lock.
    Acquired = 1,
    /// It is about to release a lock.
    Releasing = 2,
    /// It is outside all locks and has found [`ADVICE_GIVE_BACK`].
    Released = 3,
}

impl SpinExit {
    /// The reason that `byte` stands for.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Spinning),
            1 => Some(Self::Acquired),
            2 => Some(Self::Releasing),
            3 => Some(Self::Released),
            _ => None,
        }
    }
}

/// The page that [`NOTE_HANDSHAKE`](super::NOTE_HANDSHAKE) names.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Handshake {
    /// [`HANDSHAKE_MAGIC`].
    pub magic: u64,
    /// [`HANDSHAKE_VERSION`].
    pub version: u32,
    /// Host, before the start: `HOST_*` bits.
    pub host: AtomicU32,
    /// Guest: number of slots. Written last, with Release.
    pub slot_count: AtomicU32,
    /// Host, before the start: PAUSEs that are at most this many TSC cycles apart belong to one
    /// loop, as with `ple_gap`.
    pub gap_cycles: AtomicU32,
    /// Host, before the start: PAUSEs of the first window of each vCPU.
    pub window_pauses: AtomicU32,
    /// Host, before the start: share of the acquires after which the CPU leaves through
    /// `spin_exit`, in units of 2^-32.
    pub exit_at_acquire: AtomicU32,
    /// As `exit_at_acquire`, before releases.
    pub exit_at_release: AtomicU32,
    /// Aligns what follows.
    pub reserved: u32,
    /// Host, before the start: seed of the draws for both shares.
    pub seed: AtomicU64,
    /// Guest: guest-physical address of `slot_count` [`HandshakeSlot`]s, in the order of its CPUs.
    pub slots_gpa: AtomicU64,
}

/// One CPU's slot, on a cache line of its own.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct HandshakeSlot {
    /// Guest: its x2APIC ID, [`APIC_ID_NONE`] before it is up.
    pub apic_id: AtomicU32,
    /// Guest: the ticket waited for; 0 for locks without tickets.
    pub ticket: AtomicU32,
    /// Guest: the ticket that was being served at the last look before a spin exit.
    pub serving: AtomicU32,
    /// Host: PAUSEs of this vCPU's window now.
    pub window_pauses: AtomicU32,
    /// Host: an `ADVICE_*` value. The guest clears it when it begins to wait.
    pub advice: AtomicU32,
    /// Aligns what follows.
    pub reserved: u32,
    /// Guest: the lock it waits for, 0 for none.
    pub waiting_lock: AtomicU64,
    /// Guest: the lock it took last and still holds, 0 for none.
    pub holding_lock: AtomicU64,
}

/// [`HandshakeSlot::apic_id`] of a CPU that is not up: in x2APIC mode the broadcast, so nobody's ID.
pub const APIC_ID_NONE: u32 = u32::MAX;

/// [`HandshakeSlot::advice`]: nothing to say.
pub const ADVICE_NONE: u32 = 0;
/// [`HandshakeSlot::advice`]: the holder of the lock waited for is off its pCPU: halt at once.
pub const ADVICE_HALT: u32 = 1;
/// [`HandshakeSlot::advice`]: the pCPU is lent: leave through `spin_exit` once outside all locks, so
/// that its lender gets it back.
pub const ADVICE_GIVE_BACK: u32 = 2;
