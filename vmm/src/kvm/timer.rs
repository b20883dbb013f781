//! A timer that interrupts the calling thread's `KVM_RUN`, and that thread's CPU time.
//!
//! POSIX CPU-time timers fire at the scheduler's tick, some milliseconds late. So the interruption
//! comes from a precise wall-clock timer, and who is interrupted looks at the CPU time it has used:
//! a thread that the host held off has used none and simply goes on.

use std::io;
use std::os::raw::{c_int, c_void};
use std::time::Duration;

use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

/// Interrupts the thread that made it, again and again while armed, with `SIGRTMIN + 1`.
///
/// The repetition is what makes it safe: a signal that lands between the last look and `KVM_RUN`
/// interrupts nothing, the next one does.
#[derive(Debug)]
pub struct RunTimer {
    // A raw pointer, so the type is not `Send`: the timer is bound to its thread.
    id: libc::timer_t,
}

extern "C" fn interrupt_only(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {}

impl RunTimer {
    /// Makes a disarmed timer for the calling thread.
    ///
    /// # Errors
    /// What `sigaction(2)` or `timer_create(2)` says.
    pub fn for_this_thread() -> io::Result<Self> {
        let signal = SIGRTMIN() + 1;
        register_signal_handler(signal, interrupt_only)
            .map_err(|e| io::Error::from_raw_os_error(e.errno()))?;
        // SAFETY: all-zero is a valid `sigevent`.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        // SAFETY: `gettid` has no preconditions.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut id: libc::timer_t = std::ptr::null_mut();
        // SAFETY: both pointers are to live locals of the right type.
        let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut id) };
        if made == 0 {
            Ok(Self { id })
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Interrupts after `period` of wall-clock time and every `period` from then on.
    ///
    /// # Errors
    /// What `timer_settime(2)` says.
    pub fn arm(&self, period: Duration) -> io::Result<()> {
        self.set(period)
    }

    /// Stops the interruptions.
    ///
    /// # Errors
    /// What `timer_settime(2)` says.
    pub fn disarm(&self) -> io::Result<()> {
        self.set(Duration::ZERO)
    }

    fn set(&self, period: Duration) -> io::Result<()> {
        let at = libc::timespec {
            tv_sec: libc::time_t::try_from(period.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(period.subsec_nanos().cast_signed()),
        };
        let spec = libc::itimerspec {
            it_interval: at,
            it_value: at,
        };
        // SAFETY: `id` is a live timer of ours; `spec` outlives the call; no old value is asked for.
        if unsafe { libc::timer_settime(self.id, 0, &spec, std::ptr::null_mut()) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Drop for RunTimer {
    fn drop(&mut self) {
        // SAFETY: `id` came from `timer_create` and is deleted only here.
        unsafe { libc::timer_delete(self.id) };
    }
}

/// The CPU time the calling thread has used, its guest's included.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a live `timespec`; the clock exists on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armed_timer_interrupts_again_and_again() {
        let timer = RunTimer::for_this_thread().unwrap();
        timer.arm(Duration::from_millis(1)).unwrap();
        for _ in 0..3 {
            // SAFETY: polling no descriptors needs no memory. The time-out is the failure.
            let polled = unsafe { libc::poll(std::ptr::null_mut(), 0, 10_000) };
            let error = io::Error::last_os_error();
            assert_eq!(polled, -1);
            assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        }
    }

    #[test]
    fn the_cpu_time_of_a_thread_grows_with_its_work_only() {
        let start = thread_cpu_time();
        while thread_cpu_time() == start {}
        let before = thread_cpu_time();
        std::thread::sleep(Duration::from_millis(20));
        assert!(thread_cpu_time() - before < Duration::from_millis(20));
    }
}
