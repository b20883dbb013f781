//! The locks, a line each.
//!
//! A lock is a file of this folder and a line here. [`LockKind`](super::LockKind) comes from the lines, and from it
//! the payload's argument, its dispatch, every test of all locks, experiments that say `lock = "every"` and the tables
//! of the reference.

/// Hands the lines to the macro `$to`. They have
///
/// - the number, which is the ABI of [`Results::lock_kind`](crate::abi::Results::lock_kind): a new lock takes the next;
/// - file and type, with `<W>` if its tickets have two widths;
/// - the kind, and its name on command lines and in reports;
/// - the [`Order`](crate::lock::Order) that it promises;
/// - what its waiters do, see [`Waits`](crate::lock::Waits).
#[doc(hidden)]
#[macro_export]
macro_rules! locks {
    ($to:ident) => {
        $to! {
            0 ticket::Ticket<W>, Ticket "ticket", Fifo, Spins;
            1 pv_ticket::PvTicket<W>, PvTicket "pv-ticket", Fifo, Halts;
            2 pv_ticket_head::PvTicketHead<W>, PvTicketHead "pv-ticket-head", Fifo, Halts;
            3 byte::ByteLock, Byte "byte", None, Halts;
            4 tas::TasLock, Tas "tas", None, Spins;
            5 mcs::McsLock, Mcs "mcs", Queue, Spins;
            6 qspinlock::Qspinlock, Qspinlock "qspinlock", Queue, Spins;
            7 pv_qspinlock::PvQspinlock, PvQspinlock "pv-qspinlock", None, Halts;
            8 preemptable_ticket::PreemptableTicket<W>, PreemptableTicket "preemptable-ticket", None, Spins;
            9 clh::ClhLock, Clh "clh", Queue, Spins;
        }
    };
}
