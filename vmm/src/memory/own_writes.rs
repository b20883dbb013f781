//! Pages that the VMM itself wrote while the guest ran: KVM's log of written pages does not have
//! them, and a migration has to send them all the same.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};
use std::sync::{Mutex, PoisonError};

use super::PAGE_BYTES;

/// The log. It notes nothing before it was started, so a run without a migration keeps nothing.
#[derive(Debug, Default)]
pub struct OwnWrites {
    is_on: AtomicBool,
    pages: Mutex<BTreeSet<u64>>,
}

impl OwnWrites {
    /// Notes from now on. What was written before has to be sent anyway.
    pub fn start(&self) {
        self.is_on.store(true, SeqCst);
        // Pairs with the fence in `note`, for each of the two stores before what is read after it:
        // whoever does not see the log on has written before all of memory is read.
        fence(SeqCst);
    }

    /// Notes no more, and forgets.
    pub fn stop(&self) {
        self.is_on.store(false, SeqCst);
        self.lock().clear();
    }

    /// The page at `gpa` has been written. To be called after the write: a log that is taken before
    /// it must not be all that tells of it.
    pub fn note(&self, gpa: u64) {
        // Pairs with the fence in `start`: the write, then the look. Without it the look may come
        // first, and the write after memory has been read.
        fence(SeqCst);
        if self.is_on.load(SeqCst) {
            self.lock().insert(gpa / PAGE_BYTES);
        }
    }

    /// Takes the pages within `range`, by their number from its start.
    pub fn take(&self, range: Range<u64>) -> Vec<u64> {
        let first = range.start / PAGE_BYTES;
        let mut pages = self.lock();
        let taken: Vec<u64> = pages
            .range(first..range.end / PAGE_BYTES)
            .copied()
            .collect();
        for page in &taken {
            pages.remove(page);
        }
        taken.into_iter().map(|page| page - first).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_once_and_by_its_region() {
        let log = OwnWrites::default();
        log.note(0x1000);
        log.start();
        for gpa in [0x2000, 0x2fff, 0x10_0000, 0x10_5008] {
            log.note(gpa);
        }
        assert_eq!(log.take(0..0x10_0000), [2], "nothing from before the start");
        assert_eq!(log.take(0x10_0000..0x20_0000), [0, 5]);
        assert!(log.take(0..u64::MAX).is_empty());
    }

    #[test]
    fn a_log_that_was_stopped_has_forgotten() {
        let log = OwnWrites::default();
        log.start();
        log.note(0x2000);
        log.stop();
        log.note(0x3000);
        log.start();
        assert!(log.take(0..u64::MAX).is_empty());
    }
}
