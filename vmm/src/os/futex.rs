//! futex(2): sleep while a word has a value, wake one sleeper.

use std::ptr;
use std::sync::atomic::AtomicU32;

/// Sleeps while `word` is `value`. Returns on a wake, on a signal, or when it differs.
pub fn wait(word: &AtomicU32, value: u32) {
    // SAFETY: the word outlives the call; no timeout; the kernel writes nothing.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            ptr::null::<libc::timespec>(),
        );
    }
}

/// Wakes one sleeper on `word`.
pub fn wake_one(word: &AtomicU32) {
    // SAFETY: the word outlives the call; the kernel only uses its address.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        );
    }
}
