//! Whether a write would wait for a reader.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Waits until a write to `fd` takes at least a byte without waiting, fails at once, or `patience`
/// is over. False too when a signal came: the caller knows what it means.
pub fn wait_until_writable(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    let ms = patience.as_millis().try_into().unwrap_or(i32::MAX);
    // SAFETY: one entry, which is on the stack and lives through the call.
    unsafe { libc::poll(&raw mut poll, 1, ms) > 0 }
}
