//! A lock's bytes, read by somebody who is not part of it: the host's hang report.

use crate::abi::POISON_BYTE;
use crate::lock::LockKind;
use crate::lock::qword::SLOW;
use crate::lock::tickets::{SLOW_PATH_FLAG, TicketBits};

/// What the bytes of a lock say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWordView {
    /// A ticket lock.
    Tickets {
        /// The ticket that is being served, without the flag.
        head: u32,
        /// The next ticket to be given out, without the flag.
        tail: u32,
        /// Whether the slow-path flag is set.
        slow_path: bool,
        /// How many hold or want the lock: 0 is free, 1 is held and nobody waits.
        takers: u32,
    },
    /// A lock that is one byte.
    Byte {
        /// Whether it is held.
        locked: bool,
        /// CPUs in the slow path.
        spinners: u32,
    },
    /// A lock whose waiters line up in queue nodes.
    Queue {
        /// Whether it is held.
        locked: bool,
        /// Whether a CPU spins on the lock's own word, next to the holder.
        pending: bool,
        /// Whether the holder has somebody to kick.
        slow_path: bool,
        /// Index of the last CPU in line; that of an MCS lock may be its holder.
        last_in_line: Option<u32>,
    },
    /// Freed memory, filled with [`POISON_BYTE`].
    Poison,
}

impl LockKind {
    /// Bytes of a lock of this kind.
    pub const fn size(self, bits: TicketBits) -> usize {
        match self {
            Self::Ticket | Self::PvTicket | Self::PvTicketHead => bits.bits() as usize / 4,
            Self::PreemptableTicket => bits.bits() as usize / 4 + 1,
            Self::Byte | Self::Mcs | Self::Qspinlock | Self::PvQspinlock => 4,
            Self::Tas => 1,
        }
    }

    /// Reads the first bytes of a [`LockObject`](crate::abi::LockObject); `None` if there are too
    /// few of them.
    pub fn view(self, bits: TicketBits, bytes: &[u8]) -> Option<LockWordView> {
        let bytes = bytes.get(..self.size(bits))?;
        if bytes.iter().all(|byte| *byte == POISON_BYTE) {
            return Some(LockWordView::Poison);
        }
        match (self, bytes) {
            (Self::Byte, [lock, _, low, high]) => Some(LockWordView::Byte {
                locked: *lock != 0,
                spinners: u16::from_le_bytes([*low, *high]).into(),
            }),
            (Self::Tas, [lock]) => Some(LockWordView::Byte {
                locked: *lock != 0,
                spinners: 0,
            }),
            (Self::Mcs, [a, b, c, d]) => {
                let last_in_line = u32::from_le_bytes([*a, *b, *c, *d]).checked_sub(1);
                Some(LockWordView::Queue {
                    locked: last_in_line.is_some(),
                    pending: false,
                    slow_path: false,
                    last_in_line,
                })
            }
            (Self::Qspinlock | Self::PvQspinlock, [locked, pending, low, high]) => {
                let tail = u16::from_le_bytes([*low, *high]);
                Some(LockWordView::Queue {
                    locked: *locked != 0,
                    pending: *pending != 0,
                    slow_path: *locked == SLOW,
                    last_in_line: tail.checked_sub(1).map(u32::from),
                })
            }
            // Behind its tickets the preemptable lock has the byte that says whether it is held.
            (_, [head, tail] | [head, tail, _]) => {
                Some(self.view_tickets(bits, (*head).into(), (*tail).into()))
            }
            (_, [a, b, c, d] | [a, b, c, d, _]) => {
                let head = u16::from_le_bytes([*a, *b]).into();
                let tail = u16::from_le_bytes([*c, *d]).into();
                Some(self.view_tickets(bits, head, tail))
            }
            _ => None,
        }
    }

    fn view_tickets(self, bits: TicketBits, head: u32, tail: u32) -> LockWordView {
        let flag = if self.is_pv() { SLOW_PATH_FLAG } else { 0 };
        let slow_path = (head | tail) & flag != 0;
        let (head, tail) = (head & !flag, tail & !flag);
        LockWordView::Tickets {
            head,
            tail,
            slow_path,
            takers: bits.distance(head, tail) / self.ticket_increment(),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "view_test.rs"]
mod tests;
