use super::*;

#[test]
fn both_widths_are_read_little_endian() {
    let small = LockKind::PvTicket.view(TicketBits::Eight, &[0xfe, 0x03]);
    let large = LockKind::PvTicket.view(TicketBits::Sixteen, &[0xfe, 0xff, 0x03, 0x00]);
    let expected = |head| LockWordView::Tickets {
        head,
        tail: 2,
        slow_path: true,
        takers: 2,
    };
    assert_eq!(small, Some(expected(0xfe)));
    assert_eq!(large, Some(expected(0xfffe)));
}

#[test]
fn without_a_slow_path_the_lowest_bit_is_part_of_the_ticket() {
    let expected = LockWordView::Tickets {
        head: 1,
        tail: 3,
        slow_path: false,
        takers: 2,
    };
    let view = LockKind::Ticket.view(TicketBits::Eight, &[1, 3]);
    assert_eq!(view, Some(expected));
}

#[test]
fn a_queue_names_the_last_in_line() {
    let queue = |locked, pending, slow_path, last_in_line| {
        Some(LockWordView::Queue {
            locked: Some(locked),
            pending,
            slow_path,
            last_in_line,
        })
    };
    let mcs = |bytes: &[u8]| LockKind::Mcs.view(TicketBits::Eight, bytes);
    assert_eq!(mcs(&[0; 4]), queue(false, false, false, None));
    assert_eq!(mcs(&[0, 1, 0, 0]), queue(true, false, false, Some(255)));
    for kind in [LockKind::Qspinlock, LockKind::PvQspinlock] {
        let view = |bytes: &[u8]| kind.view(TicketBits::Eight, bytes);
        assert_eq!(view(&[0; 4]), queue(false, false, false, None));
        assert_eq!(view(&[1, 1, 0, 0]), queue(true, true, false, None));
        assert_eq!(view(&[3, 0, 0, 2]), queue(true, false, true, Some(511)));
    }
}

#[test]
fn the_preemptable_lock_is_read_as_tickets() {
    for (bits, tickets_and_held) in [
        (TicketBits::Eight, [7, 9, 1].as_slice()),
        (TicketBits::Sixteen, [7, 0, 9, 0, 1].as_slice()),
    ] {
        let mut bytes = [0; crate::abi::LOCK_BYTES];
        bytes[..tickets_and_held.len()].copy_from_slice(tickets_and_held);
        let expected = LockWordView::Tickets {
            head: 7,
            tail: 9,
            slow_path: false,
            takers: 2,
        };
        let view = LockKind::PreemptableTicket.view(bits, &bytes);
        assert_eq!(view, Some(expected));
    }
}

#[test]
fn what_follows_the_lock_is_not_read() {
    for kind in LockKind::ALL {
        for bits in [TicketBits::Eight, TicketBits::Sixteen] {
            let mut bytes = [0; crate::abi::LOCK_BYTES];
            let alone = kind.view(bits, &bytes);
            bytes[kind.size(bits)..].fill(0xff);
            assert_eq!(kind.view(bits, &bytes), alone);
            assert!(alone.is_some());
            assert_eq!(kind.view(bits, &bytes[..kind.size(bits) - 1]), None);
        }
    }
}

#[test]
fn freed_memory_is_told_from_a_lock() {
    let bytes = [POISON_BYTE; 64];
    for kind in LockKind::ALL {
        for bits in [TicketBits::Eight, TicketBits::Sixteen] {
            assert_eq!(kind.view(bits, &bytes), Some(LockWordView::Poison));
        }
    }
}
