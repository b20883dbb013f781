//! Memory with something in it, and pages that change: what a snapshot and a migration have to carry.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Words of a page of 4 KiB.
pub const PAGE_WORDS: usize = 512;

/// 2^64 divided by the golden ratio: an odd number without a pattern.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Fills `words` with xorshift64* of `seed`: bytes that neither compress nor repeat.
#[inline]
pub fn fill(words: &[AtomicU64], seed: u64) {
    let mut state = seed.wrapping_mul(SCATTER) | 1;
    for word in words {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.store(state.wrapping_mul(0x2545_f491_4f6c_dd1d), Relaxed);
    }
}

/// Writes to one page after the other and begins again after the last: one CPU's share.
#[derive(Debug)]
pub struct Dirtying<'a> {
    words: &'a [AtomicU64],
    next: usize,
    written: u64,
}

impl<'a> Dirtying<'a> {
    /// CPU `index` of `cpus`, which starts at a place of its own.
    pub fn new(words: &'a [AtomicU64], index: usize, cpus: usize) -> Self {
        let pages = words.len() / PAGE_WORDS;
        Self {
            words: &words[..pages * PAGE_WORDS],
            next: pages * index / cpus.max(1) * PAGE_WORDS,
            written: (index as u64).wrapping_mul(!SCATTER),
        }
    }

    /// Writes one word to each of the next `pages` pages.
    #[inline]
    pub fn write(&mut self, pages: u32) {
        for _ in 0..pages {
            let Some(word) = self.words.get(self.next) else {
                return;
            };
            // Another number each time, so that a page which is written again changes again.
            self.written = self.written.wrapping_add(SCATTER);
            word.store(self.written, Relaxed);
            self.next += PAGE_WORDS;
            if self.next >= self.words.len() {
                self.next = 0;
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn memory(words: usize) -> Vec<AtomicU64> {
        (0..words).map(|_| AtomicU64::new(0)).collect()
    }

    fn values(words: &[AtomicU64]) -> Vec<u64> {
        words.iter().map(|word| word.load(Relaxed)).collect()
    }

    /// The pages of `now` that differ from `before`.
    fn changed(before: &[u64], now: &[u64]) -> Vec<usize> {
        let pages = before.chunks(PAGE_WORDS).zip(now.chunks(PAGE_WORDS));
        let differs = |(page, (before, now))| (before != now).then_some(page);
        pages.enumerate().filter_map(differs).collect()
    }

    #[test]
    fn every_word_is_filled_and_none_is_there_twice() {
        let words = memory(100_000);
        fill(&words, 1);
        let different: BTreeSet<_> = values(&words).into_iter().collect();
        assert_eq!(different.len(), words.len());
        assert!(!different.contains(&0));
        // Every byte of a word takes every value, about equally often.
        for byte in 0..8 {
            let mut counts = [0_u32; 256];
            for word in &different {
                counts[usize::from(word.to_le_bytes()[byte])] += 1;
            }
            assert!(
                counts.iter().all(|count| (250..550).contains(count)),
                "byte {byte}"
            );
        }
    }

    #[test]
    fn the_seed_decides() {
        let filled = |seed| {
            let words = memory(100);
            fill(&words, seed);
            values(&words)
        };
        assert_eq!(filled(7), filled(7));
        assert_ne!(filled(7), filled(8));
    }

    #[test]
    fn pages_are_written_in_a_circle_from_the_cpus_own_place() {
        let words = memory(8 * PAGE_WORDS + 3);
        let mut cpus = [0, 1].map(|index| Dirtying::new(&words, index, 2));
        let before = values(&words);
        cpus[0].write(3);
        let first = values(&words);
        assert_eq!(changed(&before, &first), [0, 1, 2]);
        cpus[1].write(5);
        let second = values(&words);
        assert_eq!(changed(&first, &second), [0, 4, 5, 6, 7]);
        cpus[1].write(8);
        let third = values(&words);
        assert_eq!(changed(&second, &third), [0, 1, 2, 3, 4, 5, 6, 7]);
        let changed_words = third.iter().filter(|word| **word != 0).count();
        assert_eq!(changed_words, 8);
    }

    #[test]
    fn without_memory_nothing_is_written() {
        for words in [memory(0), memory(PAGE_WORDS - 1)] {
            Dirtying::new(&words, 0, 1).write(10);
            assert!(values(&words).iter().all(|word| *word == 0));
        }
    }
}
