//! Ctrl-C and SIGTERM, asked for between two steps.

use std::fs::File;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use crate::os::readable::wait_until_readable;

/// The signals that end a soak.
#[derive(Debug)]
pub(super) struct Interrupts(File);

/// The user wants it to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interrupted;

impl Interrupts {
    /// `signals` is readable when one has come.
    pub(super) fn new(signals: File) -> Self {
        Self(signals)
    }

    /// Waits for `time`, or for a signal.
    pub(super) fn sleep(&self, time: Duration) -> Result<(), Interrupted> {
        // poll(2) counts in ms.
        let whole = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        if wait_until_readable(self.0.as_fd(), whole) {
            return Err(Interrupted);
        }
        thread::sleep(time.saturating_sub(whole));
        Ok(())
    }
}
