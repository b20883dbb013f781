//! The C library's allocator.

/// Has all threads allocate from one arena. glibc would give each of the first vCPU threads its
/// own, in four system calls and several pages, and vCPU threads hardly allocate at all.
///
/// Call it before the first thread starts.
pub fn use_one_arena() {
    // SAFETY: sets a number in the allocator; on failure it stays what it was.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
