use proptest::prelude::*;

use super::*;

fn any_bits() -> impl Strategy<Value = TicketBits> {
    prop_oneof![Just(TicketBits::Eight), Just(TicketBits::Sixteen)]
}

proptest! {
    #[test]
    fn advance_is_addition_modulo_the_width(bits in any_bits(), ticket: u16, by: u16) {
        let modulus = 1_u64 << bits.bits();
        let expected = (u64::from(ticket) + u64::from(by)) % modulus;
        prop_assert_eq!(u64::from(bits.advance(ticket.into(), by.into())), expected);
    }

    #[test]
    fn distance_undoes_advance(bits in any_bits(), ticket: u16, by: u16) {
        let (ticket, by) = (u32::from(ticket) & bits.mask(), u32::from(by) & bits.mask());
        prop_assert_eq!(bits.distance(ticket, bits.advance(ticket, by)), by);
    }

    #[test]
    fn the_flag_survives_no_advance(bits in any_bits(), ticket: u16) {
        let ticket = u32::from(ticket) & bits.mask() & !SLOW_PATH_FLAG;
        let next = bits.advance(ticket, PV_INCREMENT);
        prop_assert_eq!(next & SLOW_PATH_FLAG, 0);
        prop_assert_ne!(next, ticket);
    }
}

#[test]
fn the_last_ticket_wraps_to_the_first() {
    assert_eq!(TicketBits::Eight.advance(255, 1), 0);
    assert_eq!(TicketBits::Eight.advance(254, 2), 0);
    assert_eq!(TicketBits::Sixteen.advance(65535, 1), 0);
    assert_eq!(TicketBits::Sixteen.advance(65534, 2), 0);
    assert_eq!(TicketBits::Eight.distance(254, 2), 4);
}

#[test]
fn the_smallest_width_that_numbers_the_cpus_is_chosen() {
    use crate::lock::LockKind::{Byte, PvTicket, PvTicketHead, Ticket};
    let small = Some(TicketBits::Eight);
    let large = Some(TicketBits::Sixteen);
    assert_eq!(Ticket.tickets_for(256), small);
    assert_eq!(Ticket.tickets_for(257), large);
    assert_eq!(Ticket.tickets_for(65537), None);
    for kind in [PvTicket, PvTicketHead] {
        assert_eq!(kind.tickets_for(128), small);
        assert_eq!(kind.tickets_for(129), large);
        assert_eq!(kind.tickets_for(32768), large);
        assert_eq!(kind.tickets_for(32769), None);
    }
    assert_eq!(Byte.tickets_for(65535), small);
    assert_eq!(Byte.tickets_for(65536), None);
}

#[test]
fn a_width_survives_its_number() {
    for bits in [TicketBits::Eight, TicketBits::Sixteen] {
        assert_eq!(TicketBits::from_bits(bits.bits()), Some(bits));
    }
    assert_eq!(TicketBits::from_bits(0), None);
}
