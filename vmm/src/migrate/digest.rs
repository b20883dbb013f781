//! One number for all of memory, kept up as pages go by.
//!
//! It is the sum of one hash per page, so a page sent again replaces its own part and the
//! comparison at the switchover costs nothing. A page of zeros counts nothing: pages that were never
//! sent need not be looked at.

use super::PAGE_BYTES;
use crate::random;

static ZERO_PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// How much of memory is compared at the switchover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// What was sent with what was received. Costs no downtime.
    #[default]
    Sent,
    /// What each side has in its memory. Both read all of it while the guest stands still, and so
    /// catch a page which the dirty log missed.
    Whole,
}

/// What a page holds, in 32 bits: 0 for zeros, otherwise its CRC32, or 1 where that is 0.
pub type Mark = u32;

/// The mark of one page.
pub fn mark(page: &[u8]) -> Mark {
    if page == ZERO_PAGE {
        0
    } else {
        crc32fast::hash(page).max(1)
    }
}

/// The part of page number `page` (guest-physical address / 4096) in the sum.
fn part(page: u64, mark: Mark) -> u64 {
    if mark == 0 {
        return 0;
    }
    // So that two pages that swap their contents do not cancel out.
    random::finish(
        page.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(u64::from(mark)),
    )
}

/// The sum over all pages, and the mark of each: 4 bytes for every 4 KiB.
#[derive(Debug)]
pub struct Digest {
    marks: Vec<Mark>,
    sum: u64,
}

impl Digest {
    /// Of `pages` pages of zeros.
    pub fn new(pages: usize) -> Self {
        Self {
            marks: vec![0; pages],
            sum: 0,
        }
    }

    /// Page number `page`, at `index` among all pages of memory, now holds `mark`.
    /// An index beyond the end counts nothing.
    pub fn set(&mut self, index: usize, page: u64, mark: Mark) {
        if let Some(old) = self.marks.get_mut(index) {
            self.sum = self
                .sum
                .wrapping_sub(part(page, *old))
                .wrapping_add(part(page, mark));
            *old = mark;
        }
    }

    /// What the page at `index` holds.
    pub fn mark(&self, index: usize) -> Mark {
        self.marks.get(index).copied().unwrap_or(0)
    }

    /// The sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_count_nothing() {
        assert_eq!(mark(&ZERO_PAGE), 0);
        let mut digest = Digest::new(4);
        digest.set(2, 2, 0);
        assert_eq!(digest.sum(), 0);
    }

    #[test]
    fn one_bit_anywhere_changes_the_mark() {
        for bit in 0..PAGE_BYTES * 8 {
            let mut page = ZERO_PAGE;
            page[bit / 8] |= 1 << (bit % 8);
            assert_ne!(mark(&page), 0, "bit {bit}");
        }
    }

    #[test]
    fn pages_that_swap_their_contents_change_the_sum() {
        let (mut one, mut other) = (Digest::new(2), Digest::new(2));
        one.set(0, 0, 7);
        one.set(1, 1, 9);
        other.set(0, 0, 9);
        other.set(1, 1, 7);
        assert_ne!(one.sum(), other.sum());
    }

    #[test]
    fn a_page_beyond_the_end_is_nobodys() {
        let mut digest = Digest::new(1);
        digest.set(1, 1, 7);
        assert_eq!((digest.sum(), digest.mark(1)), (0, 0));
    }

    proptest! {
        #[test]
        fn the_way_to_a_content_does_not_matter(
            writes in prop::collection::vec((0usize..16, 0u32..4), 0..200),
        ) {
            let mut digest = Digest::new(16);
            let mut last = [0; 16];
            for (index, mark) in writes {
                digest.set(index, index as u64 + 1000, mark);
                last[index] = mark;
            }
            let mut direct = Digest::new(16);
            for (index, mark) in last.into_iter().enumerate() {
                direct.set(index, index as u64 + 1000, mark);
            }
            prop_assert_eq!(digest.sum(), direct.sum());
        }
    }
}
