//! CPU time, and how often it was taken away.

use std::time::Duration;

/// CPU time that all threads of this process have used.
pub fn process_cpu_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the struct; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) };
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// How often the calling thread has lost its CPU, by waiting or against its will.
pub fn context_switches() -> u64 {
    // SAFETY: zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes the struct; RUSAGE_THREAD exists on every Linux since 2.6.26.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    let count = |n: libc::c_long| u64::try_from(n).unwrap_or(0);
    count(usage.ru_nvcsw) + count(usage.ru_nivcsw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_is_switched() {
        let before = context_switches();
        std::thread::sleep(Duration::from_millis(1));
        assert!(context_switches() > before);
    }
}
