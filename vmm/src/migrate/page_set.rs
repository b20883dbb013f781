//! A set of pages of guest memory.

use super::layout::Layout;

/// One bit for each page of each region.
#[derive(Clone, Debug)]
pub(super) struct PageSet {
    regions: Vec<Bits>,
}

#[derive(Clone, Debug)]
struct Bits {
    first_page: u64,
    pages: u64,
    words: Vec<u64>,
}

/// Pages in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Guest-physical address of the first, divided by 4096.
    pub(super) first_page: u64,
    /// How many.
    pub(super) pages: u64,
}

impl PageSet {
    /// No page of `layout`.
    pub(super) fn new(layout: &Layout) -> Self {
        let regions = layout.regions().iter().map(|region| Bits {
            first_page: region.first_page,
            pages: region.pages,
            words: vec![0; usize::try_from(region.pages.div_ceil(64)).unwrap_or(0)],
        });
        Self {
            regions: regions.collect(),
        }
    }

    /// Adds the pages of `bitmap` to those of region number `region`. Bits beyond it are ignored.
    pub(super) fn add(&mut self, region: usize, bitmap: &[u64]) {
        let Some(bits) = self.regions.get_mut(region) else {
            return;
        };
        for (word, more) in bits.words.iter_mut().zip(bitmap) {
            *word |= more;
        }
        let beyond = bits.pages % 64;
        if beyond != 0
            && let Some(last) = bits.words.last_mut()
        {
            *last &= (1 << beyond) - 1;
        }
    }

    /// Adds the pages of another set of the same layout.
    pub(super) fn merge(&mut self, other: &Self) {
        for (region, bits) in other.regions.iter().enumerate() {
            self.add(region, &bits.words);
        }
    }

    /// How many pages are in it.
    pub(super) fn count(&self) -> u64 {
        let words = self.regions.iter().flat_map(|region| &region.words);
        words.map(|word| u64::from(word.count_ones())).sum()
    }

    /// Its pages as runs, in ascending order.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> {
        self.regions.iter().flat_map(|region| Runs {
            bits: region,
            at: 0,
        })
    }
}

#[derive(Debug)]
struct Runs<'a> {
    bits: &'a Bits,
    at: u64,
}

impl Runs<'_> {
    /// The first page from `at` on whose bit is `set`, or the end.
    fn next_with(&self, at: u64, set: bool) -> u64 {
        let flip = if set { 0 } else { u64::MAX };
        let mut index = at / 64;
        let mut mask = u64::MAX << (at % 64);
        while index * 64 < self.bits.pages {
            let word = usize::try_from(index)
                .ok()
                .and_then(|index| self.bits.words.get(index))
                .map_or(0, |word| (word ^ flip) & mask);
            if word != 0 {
                return (index * 64 + u64::from(word.trailing_zeros())).min(self.bits.pages);
            }
            mask = u64::MAX;
            index += 1;
        }
        self.bits.pages
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let start = self.next_with(self.at, true);
        if start >= self.bits.pages {
            return None;
        }
        let end = self.next_with(start, false);
        self.at = end;
        Some(Run {
            first_page: self.bits.first_page + start,
            pages: end - start,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::layout::Region;
    use super::*;

    fn layout(pages: u64) -> Layout {
        let region = |first_page, pages| Region { first_page, pages };
        Layout::claimed(vec![region(1000, pages), region(5000, 64)])
    }

    #[test]
    fn bits_beyond_a_region_are_nobodys() {
        let mut set = PageSet::new(&layout(3));
        set.add(0, &[u64::MAX, u64::MAX]);
        set.add(7, &[1]);
        assert_eq!(set.count(), 3);
        let run = Run {
            first_page: 1000,
            pages: 3,
        };
        assert_eq!(set.runs().collect::<Vec<_>>(), [run]);
    }

    proptest! {
        #[test]
        fn runs_are_the_pages_of_the_set(
            pages in 1u64..300,
            first in prop::collection::vec(any::<u64>(), 0..6),
            second in prop_oneof![Just(0u64), Just(u64::MAX), any::<u64>()],
        ) {
            let mut set = PageSet::new(&layout(pages));
            set.add(0, &first);
            set.add(1, &[second]);
            let bit = |words: &[u64], n: u64| {
                words.get(usize::try_from(n / 64).unwrap()).is_some_and(|word| word >> (n % 64) & 1 == 1)
            };
            let expected: BTreeSet<u64> = (0..pages).filter(|n| bit(&first, *n)).map(|n| 1000 + n)
                .chain((0..64).filter(|n| bit(&[second], *n)).map(|n| 5000 + n))
                .collect();
            let found: Vec<u64> = set.runs()
                .flat_map(|run| run.first_page..run.first_page + run.pages)
                .collect();
            prop_assert_eq!(set.count(), expected.len() as u64);
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
