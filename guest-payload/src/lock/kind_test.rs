use super::*;

#[test]
fn a_kind_survives_its_name_and_its_number() {
    for (number, kind) in (0..).zip(LockKind::ALL) {
        assert_eq!(kind as u32, number);
        assert_eq!(LockKind::from_u32(number), Some(kind));
        assert_eq!(LockKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(LockKind::from_u32(9), None);
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
    let fifo = LockKind::ALL.map(LockKind::is_fifo);
    assert_eq!(fifo[..5], [true, true, true, false, false]);
    assert_eq!(fifo[5..], [false; 4]);
    let pv = LockKind::ALL.map(LockKind::is_pv);
    assert_eq!(pv[..5], [false, true, true, true, false]);
    assert_eq!(pv[5..], [false, false, true, false]);
}
