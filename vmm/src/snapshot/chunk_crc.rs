//! The CRC of a chunk, for which zero pages cost next to nothing.

use std::sync::OnceLock;

use crc32fast::Hasher;

use super::limits::{CHUNK_BYTES_MAX, PAGE, PAGE_BYTES};

const ZERO_PAGE: [u8; PAGE] = [0; PAGE];
/// The largest chunk has 2^18 pages.
const LARGEST_RUN: usize = (CHUNK_BYTES_MAX as u64 / PAGE_BYTES).ilog2() as usize;

/// CRC-32 of a chunk, page by page.
#[derive(Clone, Debug, Default)]
pub(super) struct ChunkCrc {
    hasher: Hasher,
    /// Zero pages that came last and are not in `hasher` yet.
    zero_pages: u64,
    /// Whether anything but zero pages came.
    data: bool,
}

impl ChunkCrc {
    /// Appends whole pages with data in them.
    pub(super) fn data(&mut self, pages: &[u8]) {
        append_zeros(&mut self.hasher, std::mem::take(&mut self.zero_pages));
        self.hasher.update(pages);
        self.data = true;
    }

    /// Appends `pages` zero pages.
    pub(super) fn zeros(&mut self, pages: u64) {
        self.zero_pages += pages;
    }

    /// Whether all of it is zero.
    pub(super) fn is_hole(&self) -> bool {
        !self.data
    }

    /// The CRC.
    pub(super) fn finish(mut self) -> u32 {
        append_zeros(&mut self.hasher, self.zero_pages);
        self.hasher.finalize()
    }
}

/// CRC-32 of `pages` zero pages.
pub(super) fn zeros_crc32(pages: u64) -> u32 {
    let mut hasher = Hasher::new();
    append_zeros(&mut hasher, pages);
    hasher.finalize()
}

/// Combining two CRCs costs about as much as reading eight pages. Runs of 2^n pages are known, so
/// any run takes a combination for each of its bits, and no memory is read.
fn append_zeros(hasher: &mut Hasher, pages: u64) {
    let runs = zero_runs();
    let mut left = pages;
    while left >= 8 {
        let bit = (left.ilog2() as usize).min(LARGEST_RUN);
        hasher.combine(&runs[bit]);
        left -= 1 << bit;
    }
    for _ in 0..left {
        hasher.update(&ZERO_PAGE);
    }
}

/// The CRCs of 2^0 to 2^18 zero pages.
fn zero_runs() -> &'static [Hasher; LARGEST_RUN + 1] {
    static RUNS: OnceLock<[Hasher; LARGEST_RUN + 1]> = OnceLock::new();
    RUNS.get_or_init(|| {
        let mut next = Hasher::new();
        next.update(&ZERO_PAGE);
        std::array::from_fn(|_| {
            let run = next.clone();
            next.combine(&run);
            run
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_zero_pages_count_as_if_they_were_read() {
        let data = [0x5a; 4096];
        for (before, between, after) in [(0, 0, 0), (1, 7, 8), (9, 100, 255), (300, 1, 0)] {
            let mut crc = ChunkCrc::default();
            let mut bytes = Vec::new();
            for zeros in [before, between, after] {
                crc.zeros(zeros);
                bytes.resize(bytes.len() + 4096 * usize::try_from(zeros).unwrap(), 0);
                crc.data(&data);
                bytes.extend(data);
            }
            crc.zeros(after);
            bytes.resize(bytes.len() + 4096 * usize::try_from(after).unwrap(), 0);
            assert!(!crc.is_hole());
            assert_eq!(crc.finish(), crc32fast::hash(&bytes));
        }
    }

    #[test]
    fn a_hole_has_the_crc_of_zeros() {
        let mut crc = ChunkCrc::default();
        crc.zeros(256);
        assert!(crc.is_hole());
        assert_eq!(crc.finish(), zeros_crc32(256));
        assert_eq!(zeros_crc32(256), crc32fast::hash(&vec![0; 1 << 20]));
    }
}
