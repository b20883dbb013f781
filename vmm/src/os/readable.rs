//! Whether there is something to read.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Waits until a read of `fd` does not wait, or `patience` is over.
pub fn wait_until_readable(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let ms = patience.as_millis().try_into().unwrap_or(i32::MAX);
    // SAFETY: one entry, which is on the stack and lives through the call.
    unsafe { libc::poll(&raw mut poll, 1, ms) > 0 }
}
