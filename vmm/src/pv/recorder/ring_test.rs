use std::thread;

use proptest::prelude::*;

use super::*;

fn event(number: u64) -> Words {
    [number, number + 1, number + 2, number + 3]
}

proptest! {
    #[test]
    fn the_last_events_stay_and_the_others_are_counted(capacity in 1_usize..20, count in 0_u64..100) {
        let ring = Ring::new(capacity);
        (0..count).for_each(|number| ring.push(event(number)));
        let lost = count.saturating_sub(capacity as u64);
        let events = (lost..count).map(event).collect();
        prop_assert_eq!(ring.contents(), Contents { events, lost });
    }
}

#[test]
fn a_ring_of_nothing_holds_one() {
    let ring = Ring::new(0);
    assert_eq!(ring.contents(), Contents::default());
    ring.push(event(1));
    ring.push(event(2));
    let events = vec![event(2)];
    assert_eq!(ring.contents(), Contents { events, lost: 1 });
}

#[test]
fn who_reads_while_it_is_written_sees_whole_events_in_order() {
    const EVENTS: u64 = 20_000;
    let ring = Ring::new(8);
    thread::scope(|scope| {
        scope.spawn(|| (0..EVENTS).for_each(|number| ring.push(event(number))));
        loop {
            let Contents { events, lost } = ring.contents();
            assert!(events.iter().all(|words| *words == event(words[0])));
            assert!(events.is_sorted());
            if lost + events.len() as u64 == EVENTS {
                break;
            }
        }
    });
}
