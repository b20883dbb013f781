//! Time limits for what cannot be interrupted: whoever is waited for is killed.

use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Kills a child unless dropped in time.
#[derive(Debug)]
pub(super) struct Limit {
    /// Closed when the wait is over.
    over: Option<mpsc::Sender<()>>,
    watch: Option<JoinHandle<bool>>,
}

impl Limit {
    /// From now on.
    pub(super) fn start(child: &Arc<Mutex<Child>>, limit: Duration) -> Self {
        let (over, is_over) = mpsc::channel();
        let child = Arc::clone(child);
        let watch = thread::spawn(move || {
            let expired = is_over.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            if expired {
                // One that has ended by itself is not there to be killed.
                let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
            }
            expired
        });
        Self {
            over: Some(over),
            watch: Some(watch),
        }
    }

    /// Ends the wait; whether it was too long.
    pub(super) fn has_expired(mut self) -> bool {
        self.finish()
    }

    fn finish(&mut self) -> bool {
        self.over = None;
        let watch = self.watch.take();
        watch.is_some_and(|watch| watch.join().unwrap_or(false))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sleeper() -> Arc<Mutex<Child>> {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        Arc::new(Mutex::new(child))
    }

    #[test]
    fn who_is_waited_for_too_long_is_killed() {
        let child = sleeper();
        let limit = Limit::start(&child, Duration::ZERO);
        while child.lock().unwrap().try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        assert!(limit.has_expired());
    }

    #[test]
    fn who_is_in_time_lives_on() {
        let child = sleeper();
        assert!(!Limit::start(&child, Duration::from_secs(600)).has_expired());
        let mut child = child.lock().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
