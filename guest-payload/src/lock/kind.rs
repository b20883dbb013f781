//! The locks by name, and what each promises.

use crate::lock::tickets::{PV_INCREMENT, TicketBits};

/// A kind of lock. The numbers are the ABI of `Results::lock_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LockKind {
    /// Ticket lock without a slow path: Linux before PV ticket locks.
    Ticket = 0,
    /// PV ticket lock with the slow-path flag in `tail`: the V8 series, Linux 3.12.
    PvTicket = 1,
    /// PV ticket lock with the slow-path flag in `head`: Linux 4.0.
    PvTicketHead = 2,
    /// The PV spinlock that the ticket locks replaced: a byte and a count of spinners.
    Byte = 3,
    /// Test and test-and-set, no slow path.
    Tas = 4,
}

impl LockKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Ticket,
        Self::PvTicket,
        Self::PvTicketHead,
        Self::Byte,
        Self::Tas,
    ];

    /// The name on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::PvTicket => "pv-ticket",
            Self::PvTicketHead => "pv-ticket-head",
            Self::Byte => "byte",
            Self::Tas => "tas",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind with this number.
    pub fn from_u32(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// Whether it hands out tickets, and so serves in the order of arrival.
    pub const fn is_fifo(self) -> bool {
        self.ticket_increment() != 0
    }

    /// Whether it has a slow path that a PV backend can take over.
    pub const fn is_pv(self) -> bool {
        match self {
            Self::PvTicket | Self::PvTicketHead | Self::Byte => true,
            Self::Ticket | Self::Tas => false,
        }
    }

    /// Distance between two tickets, 0 for locks without tickets.
    pub const fn ticket_increment(self) -> u32 {
        match self {
            Self::Ticket => 1,
            Self::PvTicket | Self::PvTicketHead => PV_INCREMENT,
            Self::Byte | Self::Tas => 0,
        }
    }

    /// The most CPUs that can use one lock at a time.
    ///
    /// With tickets, each CPU holds one at most, and all of them must differ; the slow-path flag
    /// halves their number (seed: 128 CPUs with small tickets, 32768 with large ones). The byte
    /// lock counts its spinners in 16 bits.
    pub const fn max_cpus(self, bits: TicketBits) -> u32 {
        match self {
            Self::Ticket | Self::PvTicket | Self::PvTicketHead => {
                (1 << bits.bits()) / self.ticket_increment()
            }
            Self::Byte => u16::MAX as u32,
            Self::Tas => u32::MAX,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "kind_test.rs"]
mod tests;
