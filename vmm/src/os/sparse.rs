//! Files with holes, and when their pages go to the disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// The first part of `range` with data in it, up to the next hole or the end of `range`. `None`:
/// nothing but holes. Where the file system keeps no holes, all is data.
///
/// # Errors
/// What lseek says.
pub fn next_data(file: &File, range: Range<u64>) -> io::Result<Option<Range<u64>>> {
    let start = match seek(file, range.start, libc::SEEK_DATA) {
        Ok(start) if start < range.end => start,
        Ok(_) => return Ok(None),
        // No data up to the end of the file.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
        Err(error) => return Err(error),
    };
    let end = seek(file, start, libc::SEEK_HOLE)?;
    Ok(Some(start..end.min(range.end)))
}

fn seek(file: &File, offset: u64, whence: libc::c_int) -> io::Result<u64> {
    let offset = i64::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: moves a position that nobody relies on: reads and writes name their offset.
    let found = unsafe { libc::lseek(file.as_raw_fd(), offset, whence) };
    u64::try_from(found).map_err(|_| io::Error::last_os_error())
}

/// Has the kernel begin to write `range` to the disk now. Best effort: it saves the final fsync
/// from having all to do, and an error of the disk shows there too.
pub fn start_write_back(file: &File, range: Range<u64>) {
    let (Ok(start), Ok(bytes)) = (
        i64::try_from(range.start),
        i64::try_from(range.end.saturating_sub(range.start)),
    ) else {
        return;
    };
    // SAFETY: no memory is involved.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), start, bytes, libc::SYNC_FILE_RANGE_WRITE);
    }
}
