//! Resource limits.

/// Raises the soft limit of open files to the hard one: each vCPU takes descriptors.
pub fn raise_open_files() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a valid struct; failing leaves the limit as it was, and creating a
    // vCPU says so if that is too low.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// The host's memory in bytes.
pub fn physical_memory_bytes() -> u64 {
    // SAFETY: sysconf takes a number and returns one.
    let (pages, page_bytes) = unsafe {
        (
            libc::sysconf(libc::_SC_PHYS_PAGES),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    let positive = |number| u64::try_from(number).unwrap_or(0);
    positive(pages).saturating_mul(positive(page_bytes))
}
