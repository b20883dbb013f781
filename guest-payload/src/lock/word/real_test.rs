use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::lock::tickets::TicketBits;

#[derive(Clone, Copy, Debug)]
enum Op {
    Take(u32),
    Release(u32),
    ReleaseLocked(u32),
    ReleaseAndRead(u32),
    FlagTail,
    FlagHead,
    ReplaceSame(Tickets),
    ReplaceOther(Tickets),
}

fn any_op() -> impl Strategy<Value = Op> {
    let increment = 0..=2_u32;
    let tickets = (any::<u16>(), any::<u16>()).prop_map(|(head, tail)| Tickets {
        head: head.into(),
        tail: tail.into(),
    });
    prop_oneof![
        increment.clone().prop_map(Op::Take),
        increment.clone().prop_map(Op::Release),
        increment.clone().prop_map(Op::ReleaseLocked),
        increment.prop_map(Op::ReleaseAndRead),
        Just(Op::FlagTail),
        Just(Op::FlagHead),
        tickets.clone().prop_map(Op::ReplaceSame),
        tickets.prop_map(Op::ReplaceOther),
    ]
}

/// Runs `ops` on a word and on two plain numbers; they must agree after every step.
fn agrees_with_plain_numbers<P: TicketPair>(bits: TicketBits, ops: &[Op]) {
    let narrow = |tickets: Tickets| Tickets {
        head: tickets.head & bits.mask(),
        tail: tickets.tail & bits.mask(),
    };
    let word = P::INIT;
    let mut plain = Tickets { head: 0, tail: 0 };
    for op in ops {
        let before = plain;
        match *op {
            Op::Take(by) => {
                plain.tail = bits.advance(plain.tail, by);
                assert_eq!(word.take_ticket(by), before);
            }
            Op::Release(by) => {
                plain.head = bits.advance(plain.head, by);
                word.release(by);
            }
            Op::ReleaseLocked(by) => {
                plain.head = bits.advance(plain.head, by);
                word.release_locked(by);
            }
            Op::ReleaseAndRead(by) => {
                plain.head = bits.advance(plain.head, by);
                assert_eq!(word.release_and_read(by), before.head);
            }
            Op::FlagTail => {
                plain.tail |= SLOW_PATH_FLAG;
                word.flag_tail();
            }
            Op::FlagHead => {
                plain.head |= SLOW_PATH_FLAG;
                word.flag_head();
            }
            Op::ReplaceSame(new) => {
                plain = narrow(new);
                assert!(word.replace(before, plain));
            }
            Op::ReplaceOther(other) => {
                let old = narrow(other);
                assert_eq!(word.replace(old, plain), old == plain);
            }
        }
        assert_eq!(word.load(), plain, "after {op:?}");
        assert_eq!(word.head(), plain.head);
        assert_eq!(word.tail(), plain.tail);
    }
}

proptest! {
    #[test]
    fn the_small_word_agrees_with_plain_numbers(ops in prop::collection::vec(any_op(), 0..600)) {
        agrees_with_plain_numbers::<Pair8>(TicketBits::Eight, &ops);
    }

    #[test]
    fn the_large_word_agrees_with_plain_numbers(ops in prop::collection::vec(any_op(), 0..600)) {
        agrees_with_plain_numbers::<Pair16>(TicketBits::Sixteen, &ops);
    }
}

/// As many CPUs as a width can number, all at once, from a start near the wrap-around.
fn a_full_house_is_served_one_by_one<P: TicketPair>(bits: TicketBits, increment: u32) {
    let word = P::INIT;
    let start = bits.distance(3 * increment, 0);
    let start = Tickets {
        head: start,
        tail: start,
    };
    assert!(word.replace(Tickets { head: 0, tail: 0 }, start));

    let cpus = (bits.mask() + 1) / increment;
    let queue: Vec<_> = (0..cpus).map(|_| word.take_ticket(increment)).collect();
    let distinct: HashSet<_> = queue.iter().map(|taken| taken.tail).collect();
    assert_eq!(distinct.len(), queue.len());
    let at_once = queue.iter().filter(|taken| taken.head == taken.tail);
    assert_eq!(at_once.count(), 1);

    for taken in &queue {
        assert_eq!(word.head(), taken.tail);
        word.release(increment);
    }
    let end = word.load();
    assert_eq!(end.head, end.tail);
}

#[test]
fn a_full_house_of_each_width_and_increment_is_served_one_by_one() {
    for increment in [1, 2] {
        a_full_house_is_served_one_by_one::<Pair8>(TicketBits::Eight, increment);
        a_full_house_is_served_one_by_one::<Pair16>(TicketBits::Sixteen, increment);
    }
}
