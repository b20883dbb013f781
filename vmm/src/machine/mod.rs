//! A machine: built from a specification, run until something ends it.

pub mod arrive;
mod assemble;
pub mod blueprint;
pub mod build;
mod capabilities;
pub mod claim;
pub mod console;
mod console_keys;
pub mod error;
pub mod events;
mod extra_parts;
pub mod guest;
pub mod irqchip;
mod kick_site;
pub mod leave;
pub mod linux_cmdline;
pub mod live;
pub mod load;
pub mod pause;
pub mod planted;
pub mod platform;
pub mod ple;
mod preempt;
pub mod rebuild;
pub mod results;
pub mod save;
pub mod saved;
pub mod state;
mod stuck;
pub mod summary;
pub mod switches;
mod traced;
mod vcpu_thread;
mod vcpus;
pub mod watchdog;
pub mod xen;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use kvm_ioctls::VmFd;
use vm_memory::GuestMemoryMmap;

pub use build::build;
pub use error::Error;

use crate::boot::symbols::Symbols;
use crate::cpu::state::Kept;
use crate::device::DeviceSet;
use crate::kvm::stats::StatsFd;
use crate::os::signal;
use crate::sandbox::Sandbox;
use crate::sched::Slices;
use crate::spec::{DisabledExit, Preempt, PvUnhalt};
use crate::vcpu::Vcpu;
use crate::vcpu::board::Board;
use crate::vcpu::control::Request;
use blueprint::Blueprint;
use claim::Claims;
use pause::{PausedMachine, Pauses};
use planted::Planted;
use ple::PleSetup;
use results::PayloadView;
use vcpu_thread::{Hired, Terms, VcpuThread};

/// A machine. Its vCPU threads run from [`Machine::start`] to [`Machine::stop`].
#[derive(Debug)]
pub struct Machine {
    /// What it is.
    pub blueprint: Blueprint,
    /// How much longer than usual this guest may go without progress.
    pub patience: Duration,
    /// Of its vCPUs' threads.
    terms: Terms,
    /// The first of them, where it was started before the machine was there.
    hired: Option<Hired>,
    /// vCPUs are kept off their pCPUs at random.
    preempt: Option<Preempt>,
    /// Pause-loop exiting, where there is something to say of it.
    ple: Option<PleSetup>,
    /// The functions of its image, where that was read here.
    symbols: Option<Symbols>,
    /// What was added to the guest's command line.
    pub cmdline_added: Vec<String>,
    pauses: Pauses,
    claims: Claims,
    /// A debugger's INT3s.
    pub planted: Mutex<Planted>,
    /// What there is to save of each vCPU, once somebody has asked.
    kept: OnceLock<Arc<Kept>>,
    /// KVM's statistics of each vCPU, where they are kept at hand.
    kvm_stats: Arc<OnceLock<Vec<StatsFd>>>,
    /// The watch over the slices, where the VMM schedules.
    #[expect(dead_code, reason = "it ends with the machine")]
    slices: Option<Slices>,
    /// Clocks to set before a loaded machine goes on.
    arrival: Mutex<Option<load::Arrival>>,
    // Dropped in this order: KVM uses the memory as long as anything holds the VM.
    threads: Vec<VcpuThread>,
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
        self.blueprint
            .results_gpa
            .map(|gpa| PayloadView::new(&self.memory, gpa, vcpus))
    }

    /// Whether a Linux goes without PV_UNHALT though it was `asked` for, because nobody can take its kicks.
    pub fn kicks_reach_nobody(&self, asked: PvUnhalt) -> bool {
        let hlt_exits = self.blueprint.disabled_exits & DisabledExit::Hlt.bit() == 0;
        let is_pc = self.blueprint.pc.as_ref();
        is_pc.is_some_and(|pc| pc.devices == DeviceSet::Pc)
            && asked == PvUnhalt::On
            && hlt_exits
            && !self.blueprint.shows_pv_unhalt
    }

    /// What its threads may ask of the kernel.
    pub fn sandbox(&self) -> &Sandbox {
        &self.terms.sandbox
    }

    /// Whether somebody keeps it still.
    pub fn is_paused(&self) -> bool {
        self.pauses.are_on()
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
        self.spawn_threads()
    }

    /// Starts the vCPU threads, none of which runs the guest yet.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn start_paused(&mut self) -> Result<PausedMachine<'_>, Error> {
        for vcpu in self.board.all() {
            vcpu.request(Request::Pause);
        }
        self.spawn_threads()?;
        Ok(PausedMachine::from_start(self))
    }

    fn spawn_threads(&mut self) -> Result<(), Error> {
        signal::install_interrupt_handler()
            .map_err(|e| Error::System("sigaction".to_owned(), e))?;
        let mut hired = self.hired.take();
        let mut waiting = std::mem::take(&mut self.vcpus).into_iter();
        // A guest may be done before its last vCPU has a thread.
        while !self.board.has_ended()
            && let Some(vcpu) = waiting.next()
        {
            let thread = match hired.take() {
                Some(hired) => hired.run(vcpu),
                None => self.terms.start(vcpu.index().0, || Some(vcpu))?,
            };
            self.threads.push(thread);
        }
        self.vcpus = waiting.collect();
        Ok(())
    }

    /// Tells the vCPU threads to stop, for good.
    pub fn request_stop(&self) {
        for vcpu in self.board.all() {
            vcpu.request(Request::Stop);
        }
    }

    /// Stops the vCPU threads and waits for them. They can be looked at, not run again.
    pub fn stop(&mut self) {
        self.request_stop();
        let never_started = std::mem::take(&mut self.vcpus);
        // A thread that panicked has said so on standard error.
        let joined = self
            .threads
            .drain(..)
            .filter_map(|thread| thread.join().ok()?);
        self.vcpus = joined.chain(never_started).collect();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod clock_test;
#[cfg(test)]
mod golden_test;
#[cfg(test)]
mod handshake_test;
#[cfg(test)]
mod hostile_state_test;
#[cfg(test)]
mod in_flight_test;
#[cfg(test)]
mod kick_test;
#[cfg(test)]
mod same_state_test;
#[cfg(test)]
mod sched_test;
#[cfg(test)]
mod test_machine;
#[cfg(test)]
mod xen_test;
