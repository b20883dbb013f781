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
    /// Queue lock, no slow path.
    Mcs = 5,
    /// Queued spinlock without a slow path: Linux 4.2 on bare metal.
    Qspinlock = 6,
    /// PV queued spinlock: Linux 4.2 in a guest.
    PvQspinlock = 7,
    /// Ticket lock whose waiters lose patience with those before them.
    PreemptableTicket = 8,
}

/// In which order a lock serves its waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they came, and the tickets show it.
    Fifo,
    /// As they lined up. Nothing outside the lock's own queue shows it, so nothing checks it.
    Queue,
    /// None that it promises.
    None,
}

impl Order {
    /// The name in the reference.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fifo => "FIFO",
            Self::Queue => "queue",
            Self::None => "none",
        }
    }
}

impl LockKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Ticket,
        Self::PvTicket,
        Self::PvTicketHead,
        Self::Byte,
        Self::Tas,
        Self::Mcs,
        Self::Qspinlock,
        Self::PvQspinlock,
        Self::PreemptableTicket,
    ];

    /// The name on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::PvTicket => "pv-ticket",
            Self::PvTicketHead => "pv-ticket-head",
            Self::Byte => "byte",
            Self::Tas => "tas",
            Self::Mcs => "mcs",
            Self::Qspinlock => "qspinlock",
            Self::PvQspinlock => "pv-qspinlock",
            Self::PreemptableTicket => "preemptable-ticket",
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

    /// The order that it promises.
    pub const fn order(self) -> Order {
        match self {
            Self::Ticket | Self::PvTicket | Self::PvTicketHead => Order::Fifo,
            Self::Mcs | Self::Qspinlock => Order::Queue,
            Self::Byte | Self::Tas | Self::PvQspinlock | Self::PreemptableTicket => Order::None,
        }
    }

    /// Whether it serves in the order of its tickets.
    pub const fn is_fifo(self) -> bool {
        matches!(self.order(), Order::Fifo)
    }

    /// Whether it hands out tickets.
    pub const fn has_tickets(self) -> bool {
        self.ticket_increment() != 0
    }

    /// Whether its waiters line up in the CPUs' [queue nodes](crate::lock::queue).
    pub const fn has_queue(self) -> bool {
        matches!(self, Self::Mcs | Self::Qspinlock | Self::PvQspinlock)
    }

    /// Whether it has a slow path that a PV backend can take over.
    pub const fn is_pv(self) -> bool {
        match self {
            Self::PvTicket | Self::PvTicketHead | Self::Byte | Self::PvQspinlock => true,
            Self::Ticket | Self::Tas | Self::Mcs | Self::Qspinlock | Self::PreemptableTicket => {
                false
            }
        }
    }

    /// Distance between two tickets, 0 for locks without tickets.
    pub const fn ticket_increment(self) -> u32 {
        match self {
            Self::Ticket | Self::PreemptableTicket => 1,
            Self::PvTicket | Self::PvTicketHead => PV_INCREMENT,
            Self::Byte | Self::Tas | Self::Mcs | Self::Qspinlock | Self::PvQspinlock => 0,
        }
    }

    /// The most CPUs that can use one lock at a time.
    ///
    /// With tickets, each CPU holds one at most, and all of them must differ; the slow-path flag
    /// halves their number (seed: 128 CPUs with small tickets, 32768 with large ones). The byte
    /// lock counts its spinners in 16 bits, and queued spinlocks have the last in line in 16 bits.
    pub const fn max_cpus(self, bits: TicketBits) -> u32 {
        match self {
            Self::Ticket | Self::PvTicket | Self::PvTicketHead | Self::PreemptableTicket => {
                (1 << bits.bits()) / self.ticket_increment()
            }
            Self::Byte | Self::Qspinlock | Self::PvQspinlock => u16::MAX as u32,
            Self::Tas | Self::Mcs => u32::MAX,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "kind_test.rs"]
mod tests;
