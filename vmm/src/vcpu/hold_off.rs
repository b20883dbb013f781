//! Keeping one vCPU off its pCPU for a while, as a host's scheduler does: lock holder preemption on
//! demand. The vCPU's thread stays outside KVM_RUN; everything else of the machine goes on.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// How long a vCPU is kept off. A request to pause or stop does not wait for it.
#[derive(Debug, Default)]
pub(super) struct HoldOff {
    until: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl HoldOff {
    /// The vCPU stays off until `until`. The caller sends its thread around its loop.
    pub(super) fn hold(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Whether there is a time to wait for.
    pub(super) fn is_on(&self) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some()
    }

    /// Makes a thread that waits here look whether it is wanted.
    pub(super) fn wake(&self) {
        // Under the lock, so that it is not between its look and its wait.
        let _until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.notify_all();
    }

    /// The vCPU's side: waits until its time is over, or until it is wanted. In that case the rest
    /// of the time is waited for at the next call.
    pub(super) fn wait(&self, is_wanted: impl Fn() -> bool) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(end) = *until
            && !is_wanted()
        {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                *until = None;
                return;
            }
            (until, _) = self
                .changed
                .wait_timeout(until, rest)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::time::Duration;

    use super::*;

    const FOREVER: Duration = Duration::from_secs(1 << 30);

    #[test]
    fn a_vcpu_that_nobody_holds_does_not_wait() {
        HoldOff::default().wait(|| unreachable!("nobody asked"));
    }

    #[test]
    fn a_time_that_is_over_is_over() {
        let hold_off = HoldOff::default();
        hold_off.hold(Instant::now());
        hold_off.wait(|| false);
        assert_eq!(*hold_off.until.lock().unwrap(), None);
    }

    #[test]
    fn a_request_ends_the_wait_and_the_rest_of_the_time_stays() {
        let (hold_off, wanted) = (HoldOff::default(), AtomicBool::new(false));
        hold_off.hold(Instant::now() + FOREVER);
        std::thread::scope(|scope| {
            scope.spawn(|| hold_off.wait(|| wanted.load(SeqCst)));
            wanted.store(true, SeqCst);
            hold_off.wake();
        });
        assert!(hold_off.until.lock().unwrap().is_some());
    }
}
