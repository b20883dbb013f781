//! Counting the kernel's tracepoints (`perf_event_open`).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};

/// `perf_event_attr` as far as the first version of it went (`PERF_ATTR_SIZE_VER0`).
#[repr(C)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

const PERF_TYPE_TRACEPOINT: u32 = 2;
/// Bit 1 of the flags: threads that the counted one starts are counted too.
const INHERIT: u64 = 1 << 1;
/// The descriptor closes at exec.
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
/// `_IOW('$', 6, char *)`
const PERF_EVENT_IOC_SET_FILTER: libc::Ioctl = 0x4008_2406;

/// A tracepoint, counted in the thread that opened this and in all that it starts afterwards.
#[derive(Debug)]
pub struct TracepointCounter(File);

impl TracepointCounter {
    /// Counts the tracepoint `id` from now on, or only what `filter` lets through.
    ///
    /// # Errors
    /// What `perf_event_open` or the filter's ioctl say.
    pub fn open(id: u64, filter: Option<&std::ffi::CStr>) -> io::Result<Self> {
        let attr = Attr {
            kind: PERF_TYPE_TRACEPOINT,
            size: u32::try_from(size_of::<Attr>()).unwrap_or(64),
            config: id,
            sample_period: 0,
            sample_type: 0,
            read_format: 0,
            flags: INHERIT,
            wakeup_events: 0,
            bp_type: 0,
            config1: 0,
        };
        let (this_thread, any_cpu, no_group) = (0, -1, -1);
        // SAFETY: reads the struct, whose size is in it; returns a descriptor or -1.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attr,
                this_thread,
                any_cpu,
                no_group,
                PERF_FLAG_FD_CLOEXEC,
            )
        };
        let fd = libc::c_int::try_from(fd)
            .ok()
            .filter(|fd| *fd >= 0)
            .ok_or_else(io::Error::last_os_error)?;
        // SAFETY: it was just made, and nobody else has it.
        let file = unsafe { File::from_raw_fd(fd) };
        if let Some(filter) = filter {
            // SAFETY: reads a string that ends in a NUL.
            let done = unsafe {
                libc::ioctl(file.as_raw_fd(), PERF_EVENT_IOC_SET_FILTER, filter.as_ptr())
            };
            if done != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self(file))
    }

    /// The count so far.
    ///
    /// # Errors
    /// What the read says.
    pub fn read(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        (&self.0).read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracepoint_that_there_is_not_is_refused() {
        assert!(TracepointCounter::open(u64::MAX, None).is_err());
    }
}
