//! Ticket arithmetic: all of it is modulo the width of a ticket.

use crate::abi::POISON_BYTE;
use crate::lock::view::LockWordView;

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

/// Reads the word of a lock whose tickets are `increment` apart: by more than 1 where one bit of
/// them is the slow-path flag.
pub(super) fn view(bits: TicketBits, increment: u32, bytes: &[u8]) -> Option<LockWordView> {
    let (head, tail) = match (bits, bytes) {
        (TicketBits::Eight, [head, tail]) => (u32::from(*head), u32::from(*tail)),
        (TicketBits::Sixteen, [a, b, c, d]) => (
            u16::from_le_bytes([*a, *b]).into(),
            u16::from_le_bytes([*c, *d]).into(),
        ),
        _ => return None,
    };
    let flag = if increment == PV_INCREMENT {
        SLOW_PATH_FLAG
    } else {
        0
    };
    let slow_path = (head | tail) & flag != 0;
    let (head, tail) = (head & !flag, tail & !flag);
    Some(LockWordView::Tickets {
        head,
        tail,
        slow_path,
        takers: bits.distance(head, tail) / increment,
    })
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "tickets_test.rs"]
mod tests;
