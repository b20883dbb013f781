use guest_payload::trace::Step;
use proptest::prelude::*;

use super::*;

const EVENTS: usize = 4;

fn bytes_of(tsc: u64, step: u32, ticket: u32) -> Vec<u8> {
    let mut bytes = vec![0; EVENT_BYTES];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(offset_of!(TraceEvent, tsc), &tsc.to_le_bytes());
    put(offset_of!(TraceEvent, lock), &0x20_0000_u64.to_le_bytes());
    put(offset_of!(TraceEvent, ticket), &ticket.to_le_bytes());
    put(offset_of!(TraceEvent, step), &step.to_le_bytes());
    put(offset_of!(TraceEvent, target), &9_u32.to_le_bytes());
    bytes
}

/// A ring after `written` events, of which number n has the TSC 10 n and the ticket n.
fn ring(written: u64) -> Vec<u8> {
    let mut ring = vec![0; EVENTS * EVENT_BYTES];
    for number in 0..written {
        let at = usize::try_from(number).unwrap() % EVENTS * EVENT_BYTES;
        let ticket = u32::try_from(number).unwrap();
        let event = bytes_of(10 * number, Step::Unlock as u32, ticket);
        ring[at..at + EVENT_BYTES].copy_from_slice(&event);
    }
    ring
}

fn tickets(noted: &Noted) -> Vec<u32> {
    noted.events.iter().map(|event| event.ticket).collect()
}

#[test]
fn a_ring_is_read_oldest_first_without_the_one_that_may_be_half_written_over() {
    for (written, expected, lost) in [
        (0, vec![], 0),
        (2, vec![0, 1], 0),
        (4, vec![1, 2, 3], 1),
        (9, vec![6, 7, 8], 6),
    ] {
        let noted = parse(&ring(written), EVENTS, written);
        assert_eq!(tickets(&noted), expected);
        assert_eq!((noted.lost, noted.invalid), (lost, 0));
    }
    let noted = parse(&ring(1), EVENTS, 1);
    let expected = GuestEvent {
        tsc: 0,
        step: Step::Unlock,
        lock: 0x20_0000,
        ticket: 0,
        target: 9,
    };
    assert_eq!(noted.events, [expected]);
}

#[test]
fn what_cannot_be_is_left_out_and_counted() {
    let mut bytes = bytes_of(50, Step::Enter as u32, 1);
    bytes.extend(bytes_of(40, Step::Halt as u32, 2));
    bytes.extend(bytes_of(60, 77, 3));
    bytes.extend(bytes_of(70, Step::Awake as u32, 4));
    bytes.extend([0; EVENT_BYTES]);
    let noted = parse(&bytes, 5, 4);
    assert_eq!((tickets(&noted), noted.invalid), (vec![1, 4], 2));
}

#[test]
fn more_events_than_any_guest_can_note_make_all_of_the_ring_invalid() {
    let noted = parse(&ring(4), EVENTS, u64::MAX);
    assert_eq!((noted.events.len(), noted.lost), (0, 0));
    assert_eq!(noted.invalid, EVENTS as u64);
}

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap()
}

#[test]
fn rings_outside_memory_and_rings_of_no_size_are_not_read() {
    let memory = memory();
    let good = Rings {
        gpa: 0x1000,
        events: 8,
    };
    assert!(good.read(&memory, 8, 0, 3).is_some());
    assert_eq!(good.read(&memory, 4, 0, 3), None, "more than asked for");
    for (gpa, events, index) in [
        (0, 8, 0),
        (0x1000, 0, 0),
        (0x1000, TRACE_EVENTS_MAX + 1, 0),
        (0xfff8, 8, 0),
        (u64::MAX - 8, 8, 0),
        (0x1000, 8, u32::MAX),
        (0x1000, TRACE_EVENTS_MAX, 0),
    ] {
        let rings = Rings { gpa, events };
        assert_eq!(
            rings.read(&memory, events, index, 3),
            None,
            "{rings:?} {index}"
        );
    }
}

#[test]
fn only_a_results_page_of_ours_is_asked() {
    let memory = memory();
    let at = |offset: usize| GuestAddress(0x2000 + offset as u64);
    let asked = || {
        memory
            .read_obj::<u32>(at(offset_of!(Results, trace_events)))
            .unwrap()
    };
    ask(&memory, 0x2000, 64);
    ask(&memory, 0xfff8, 64);
    ask(&memory, u64::MAX - 4, 64);
    assert_eq!(asked(), 0);
    memory
        .write_obj(RESULTS_MAGIC, at(offset_of!(Results, magic)))
        .unwrap();
    ask(&memory, 0x2000, 64);
    assert_eq!(asked(), 0, "without its version");
    memory
        .write_obj(RESULTS_VERSION, at(offset_of!(Results, version)))
        .unwrap();
    ask(&memory, 0x2000, 64);
    assert_eq!(asked(), 64);
    ask(&memory, 0x2000, u32::MAX);
    assert_eq!(asked(), TRACE_EVENTS_MAX);
}

proptest! {
    #[test]
    fn any_memory_is_read_without_harm(
        bytes in prop::collection::vec(any::<u8>(), EVENTS * EVENT_BYTES),
        written in 0..=WRITTEN_MAX,
    ) {
        let noted = parse(&bytes, EVENTS, written);
        prop_assert!(noted.events.len() < EVENTS);
        prop_assert!(noted.events.is_sorted_by_key(|event| event.tsc));
        let all = noted.events.len() as u64 + noted.invalid + noted.lost;
        prop_assert_eq!(all, written);
    }
}
