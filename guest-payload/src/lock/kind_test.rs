use super::*;
use crate::abi::LOCK_BYTES;
use crate::lock::LockWordView;
use crate::lock::recorder::view;

#[test]
fn a_kind_survives_its_name_and_its_number() {
    for (number, kind) in (0..).zip(LockKind::ALL) {
        assert_eq!(kind as u32, number);
        assert_eq!(LockKind::from_u32(number), Some(kind));
        assert_eq!(LockKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(
        LockKind::from_u32(u32::try_from(LockKind::ALL.len()).unwrap()),
        None
    );
    assert_eq!(LockKind::from_name("Ticket"), None);
}

#[test]
fn v8_numbers_half_as_many_cpus() {
    use TicketBits::{Eight, Sixteen};
    assert_eq!(LockKind::PvTicket.max_cpus(Eight), 128);
    assert_eq!(LockKind::PvTicket.max_cpus(Sixteen), 32768);
    assert_eq!(LockKind::Ticket.max_cpus(Eight), 256);
    assert_eq!(LockKind::Ticket.max_cpus(Sixteen), 65536);
}

#[test]
fn only_locks_with_tickets_promise_an_order_that_can_be_checked() {
    for kind in LockKind::ALL {
        assert!(kind.has_tickets() || !kind.is_fifo(), "{}", kind.name());
    }
    let is_fifo = |kind: &LockKind| kind.is_fifo();
    let fifo: Vec<_> = LockKind::ALL.into_iter().filter(is_fifo).collect();
    use LockKind::{PvTicket, PvTicketHead, Ticket};
    assert_eq!(fifo, [Ticket, PvTicket, PvTicketHead]);
}

#[test]
fn every_lock_says_what_it_is_and_how_it_looks() {
    for kind in LockKind::ALL {
        let facts = kind.facts(TicketBits::Eight);
        assert!(!facts.what.is_empty(), "{}", kind.name());
        assert!(!facts.bytes.is_empty(), "{}", kind.name());
    }
}

/// Locks are born in zeroed memory.
#[test]
fn zero_bytes_are_a_lock_that_is_free_and_fits_into_an_object() {
    struct Unlocked(LockKind, TicketBits);

    impl Visit for Unlocked {
        type Output = LockWordView;

        fn visit<L: RawLock>(self) -> LockWordView {
            view(&L::INIT, self.0, self.1)
        }
    }

    for kind in LockKind::ALL {
        for bits in [TicketBits::Eight, TicketBits::Sixteen] {
            let unlocked = kind.visit(bits, Unlocked(kind, bits));
            let zero = kind.view(bits, &[0; LOCK_BYTES]);
            assert_eq!(zero, Some(unlocked), "{}", kind.name());
        }
    }
}
