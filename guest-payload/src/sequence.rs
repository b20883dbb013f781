//! Numbers that must arrive once each and in order: how guest and host see that an access to
//! [`PORT_SEQUENCE`](crate::abi::PORT_SEQUENCE) was done twice or not at all.
//!
//! Both ends of a channel keep a [`Sequence`]: the host of the numbers the guest writes, the guest
//! of the numbers it reads.

/// How a number stands to the one that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The one that was due.
    Due,
    /// This many numbers were left out before it.
    Skipped(u32),
    /// One that was here before.
    Again,
}

/// A sequence of numbers, each one more than the last. After `u32::MAX` comes 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    due: u32,
}

impl Sequence {
    /// The sequence whose next number is `due`.
    pub const fn due(due: u32) -> Self {
        Self { due }
    }

    /// The number that is due.
    pub const fn next(self) -> u32 {
        self.due
    }

    /// Takes the number that is due.
    #[inline]
    pub fn take(&mut self) -> u32 {
        let due = self.due;
        self.due = due.wrapping_add(1);
        due
    }

    /// `number` has arrived. Half of all numbers count as ahead, so that the sequence may wrap. One
    /// that comes again changes nothing: every one of a whole stretch is found out.
    #[inline]
    pub fn arrive(&mut self, number: u32) -> Arrival {
        let ahead = number.wrapping_sub(self.due);
        if ahead > i32::MAX.cast_unsigned() {
            return Arrival::Again;
        }
        self.due = number.wrapping_add(1);
        if ahead == 0 {
            Arrival::Due
        } else {
            Arrival::Skipped(ahead)
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_order_are_due() {
        let (mut sent, mut seen) = (Sequence::default(), Sequence::default());
        for _ in 0..1000 {
            assert_eq!(seen.arrive(sent.take()), Arrival::Due);
        }
        assert_eq!(seen.next(), 1000);
    }

    #[test]
    fn a_number_left_out_is_seen_once() {
        let mut seen = Sequence::due(5);
        assert_eq!(seen.arrive(8), Arrival::Skipped(3));
        assert_eq!(seen.arrive(9), Arrival::Due);
    }

    #[test]
    fn each_number_of_a_stretch_that_comes_again_is_seen() {
        let mut seen = Sequence::due(5);
        let seen: Vec<_> = (3..7).map(|number| seen.arrive(number)).collect();
        use Arrival::{Again, Due};
        assert_eq!(seen, [Again, Again, Due, Due]);
    }

    #[test]
    fn the_sequence_wraps() {
        let mut seen = Sequence::due(u32::MAX);
        assert_eq!(seen.arrive(u32::MAX), Arrival::Due);
        assert_eq!(seen.arrive(0), Arrival::Due);
        assert_eq!(seen.arrive(u32::MAX), Arrival::Again);
        assert_eq!(seen.arrive(2), Arrival::Skipped(1));
    }

    proptest::proptest! {
        /// Whatever is done to the access number `at`, the two ends find it and nothing else.
        #[test]
        fn one_access_done_twice_or_not_at_all_is_one_finding(start: u32, at in 0_u32..50, twice: bool) {
            let mut seen = Sequence::due(start);
            let mut findings = Vec::new();
            for number in (0..60).map(|n| start.wrapping_add(n)) {
                let times = if number != start.wrapping_add(at) { 1 } else if twice { 2 } else { 0 };
                for _ in 0..times {
                    findings.push(seen.arrive(number));
                }
            }
            findings.retain(|finding| *finding != Arrival::Due);
            let expected = if twice { Arrival::Again } else { Arrival::Skipped(1) };
            proptest::prop_assert_eq!(findings, [expected]);
        }
    }
}
