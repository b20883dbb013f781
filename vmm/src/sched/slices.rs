//! The thread that ends slices. It sleeps as long as no vCPU waits for a token: a laboratory in
//! which nobody has to wait does not tick.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use super::Scheduler;

/// The watch over a machine's slices; dropping it ends it.
#[derive(Debug)]
pub struct Slices {
    /// Relaxed: what is to be seen is the flag itself, and unparking orders it.
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Slices {
    /// Starts it. It does `confine` first; `send_out` sends a vCPU out of KVM_RUN.
    ///
    /// # Errors
    /// What the system says of the thread.
    pub fn watch(
        scheduler: &Arc<Scheduler>,
        confine: impl FnOnce() + Send + 'static,
        send_out: impl Fn(usize) + Send + 'static,
    ) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (watched, ends) = (Arc::clone(scheduler), Arc::clone(&is_over));
        let thread = thread::Builder::new()
            .name("slices".to_owned())
            .spawn(move || {
                confine();
                watched.watch_here();
                let mut sent = Vec::new();
                while !ends.load(Relaxed) {
                    let next = watched.end_slices(&mut sent);
                    sent.drain(..).for_each(&send_out);
                    match next {
                        Some(after) => thread::park_timeout(after),
                        None => thread::park(),
                    }
                }
            })?;
        Ok(Self {
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Slices {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}
