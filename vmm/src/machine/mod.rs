//! A machine: built from a specification, run until something ends it.

pub mod build;
mod capabilities;
pub mod error;
pub mod events;
pub mod guest;
pub mod pause;
pub mod results;
mod stuck;
pub mod summary;
pub mod switches;
mod vcpus;
pub mod watchdog;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kvm_ioctls::VmFd;
use vm_memory::GuestMemoryMmap;

pub use build::build;
pub use error::Error;

use crate::os::{affinity, signal};
use crate::pv::{HaltIn, KickBy};
use crate::vcpu::Vcpu;
use crate::vcpu::board::Board;
use crate::vcpu::control::Request;
use results::PayloadView;

/// vCPU threads need little; a thousand of them should not reserve gigabytes.
const THREAD_STACK_BYTES: usize = 256 << 10;

/// A machine. Its vCPU threads run from [`Machine::start`] to [`Machine::stop`].
#[derive(Debug)]
pub struct Machine {
    /// Who takes the kick.
    pub kick_by: KickBy,
    /// Where halted vCPUs wait.
    pub halt_in: HaltIn,
    /// Whether CPUID shows PV_UNHALT.
    pub shows_pv_unhalt: bool,
    /// Where the payload's results are, if it says so.
    pub results_gpa: Option<u64>,
    /// How much longer than usual this guest may go without progress.
    pub patience: Duration,
    affinity: Option<affinity::CpuList>,
    // Dropped in this order: KVM uses the memory as long as anything holds the VM.
    threads: Vec<JoinHandle<Vcpu>>,
    vcpus: Vec<Vcpu>,
    /// What the threads share.
    pub board: Arc<Board>,
    /// The VM.
    pub vm: Arc<VmFd>,
    /// Its memory.
    pub memory: GuestMemoryMmap,
}

impl Machine {
    /// The payload's results, if the guest has some.
    pub fn payload(&self) -> Option<PayloadView<'_>> {
        let vcpus = u32::try_from(self.board.all().len()).unwrap_or(u32::MAX);
        self.results_gpa
            .map(|gpa| PayloadView::new(&self.memory, gpa, vcpus))
    }

    /// The vCPUs, once [`Self::stop`] has got them back.
    pub fn stopped_vcpus(&self) -> &[Vcpu] {
        &self.vcpus
    }

    /// Starts the vCPU threads.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn start(&mut self) -> Result<(), Error> {
        signal::install_interrupt_handler()
            .map_err(|e| Error::System("sigaction".to_owned(), e))?;
        let mut waiting = std::mem::take(&mut self.vcpus).into_iter();
        // A guest may be done before its last vCPU has a thread.
        while !self.board.has_ended()
            && let Some(vcpu) = waiting.next()
        {
            let cpus = self.affinity.clone();
            let name = format!("vcpu{}", vcpu.index().0);
            let thread = thread::Builder::new()
                .name(name.clone())
                .stack_size(THREAD_STACK_BYTES)
                .spawn(move || {
                    if let Some(cpus) = cpus {
                        // Each CPU was tried before the machine was built.
                        let _ = affinity::set_for_this_thread(&cpus);
                    }
                    vcpu.run()
                })
                .map_err(|e| Error::System(format!("thread {name}"), e))?;
            self.threads.push(thread);
        }
        self.vcpus = waiting.collect();
        Ok(())
    }

    /// Stops the vCPU threads and waits for them. They can be looked at, not run again.
    pub fn stop(&mut self) {
        for vcpu in self.board.all() {
            vcpu.request(Request::Stop);
        }
        let never_started = std::mem::take(&mut self.vcpus);
        // A thread that panicked has said so on standard error.
        let joined = self
            .threads
            .drain(..)
            .filter_map(|thread| thread.join().ok());
        self.vcpus = joined.chain(never_started).collect();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}
