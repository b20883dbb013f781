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
