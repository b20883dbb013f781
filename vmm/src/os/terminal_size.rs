//! The size of a terminal.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
}

/// The size of the terminal that `fd` is; `None` where it is none or does not tell.
pub fn of(fd: BorrowedFd<'_>) -> Option<Size> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one winsize, which is on the stack and lives through the call.
    let told = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == 0;
    let (columns, rows) = (size.ws_col.into(), size.ws_row.into());
    (told && columns != 0 && rows != 0).then_some(Size { columns, rows })
}
