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

/// Waits until a read of one of `fds` does not wait, or `patience` is over: which of them it is.
pub fn wait_until_any_readable<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    patience: Duration,
) -> [bool; N] {
    let mut polls = fds.map(|fd| libc::pollfd {
        // poll(2) leaves out what is negative.
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    });
    // Rounded up: a wait that is too short would be repeated at once.
    let ms = patience.as_nanos().div_ceil(1_000_000);
    let ms = ms.try_into().unwrap_or(i32::MAX);
    // SAFETY: N entries, which are on the stack and live through the call.
    unsafe { libc::poll(polls.as_mut_ptr(), N as libc::nfds_t, ms) };
    polls.map(|poll| poll.revents != 0)
}
