//! Ticket arithmetic: all of it is modulo the width of a ticket.

use crate::abi::POISON_BYTE;
use crate::lock::LockKind;

/// The slow-path flag in the least significant bit of a ticket; tickets advance by 2 over it.
pub(crate) const SLOW_PATH_FLAG: u32 = 1;
/// `TICKET_LOCK_INC` of the locks that have a slow-path flag.
pub(crate) const PV_INCREMENT: u32 = 2;

/// Width of one ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketBits {
    /// One byte: `head` and `tail` are a 16-bit word.
    Eight,
    /// Two bytes: `head` and `tail` are a 32-bit word.
    Sixteen,
}

impl TicketBits {
    /// The smallest width with which `kind` can number `cpus` CPUs; `None` if none is wide
    /// enough. [`Eight`](Self::Eight) for locks without tickets, however many the CPUs.
    pub const fn for_cpus(kind: LockKind, cpus: u32) -> Option<Self> {
        if cpus <= kind.max_cpus(Self::Eight) {
            Some(Self::Eight)
        } else if cpus <= kind.max_cpus(Self::Sixteen) {
            Some(Self::Sixteen)
        } else {
            None
        }
    }

    /// The width in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }

    /// The width of `bits` bits.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            8 => Some(Self::Eight),
            16 => Some(Self::Sixteen),
            _ => None,
        }
    }

    /// The ticket that comes `by` after `ticket`.
    pub const fn advance(self, ticket: u32, by: u32) -> u32 {
        ticket.wrapping_add(by) & self.mask()
    }

    /// How far `to` is ahead of `from`.
    pub const fn distance(self, from: u32, to: u32) -> u32 {
        to.wrapping_sub(from) & self.mask()
    }

    /// The largest ticket.
    pub const fn mask(self) -> u32 {
        (1 << self.bits()) - 1
    }
}

/// The two halves of a ticket lock, as one read saw them, flag included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tickets {
    /// The ticket that is being served.
    pub head: u32,
    /// The next ticket to be given out.
    pub tail: u32,
}

impl Tickets {
    /// What the word of a freed lock reads as.
    pub(crate) const fn poison(bits: TicketBits) -> Self {
        let ticket = u32::from_le_bytes([POISON_BYTE; 4]) & bits.mask();
        Self {
            head: ticket,
            tail: ticket,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "tickets_test.rs"]
mod tests;
