//! Xen's interface (`--xen`), as far as PV ticket locks on HVM need it: event channels, the shared
//! info page, `SCHEDOP_poll`.
//!
//! It stands on the same two things as KVM's interface: a poll with nothing pending is a halt, and
//! an event for a vCPU that polls is a kick. So both `--halt` work, and what a snapshot has to know
//! is `pv_unhalted` as ever, the pending bits, which are guest memory, and [`SavedXen`].
//!
//! No upcall is ever delivered: a poll needs none, and a lock's event channel is masked.

mod arguments;
mod channels;
mod hypercall;
mod page;
mod pollers;
mod saved;
mod shared_info;

pub use arguments::{CallerMemory, Fault};
pub use channels::Port;
pub use hypercall::{Call, Outcome};
pub use page::HypercallsBy;
pub use saved::{LoadError, SavedXen};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use guest_payload::abi::xen::{EVENT_PORTS, errno};
use vm_memory::GuestMemoryMmap;

use super::apic_id::VcpuIndex;
use super::kick::{Arrived, KickService, Kicker};
use crate::memory::OwnWrites;
use channels::EventChannels;
use pollers::{Pollers, Verdict, WaitsFor};
use shared_info::{Event, NotMapped, SharedInfoPage};

/// Xen's side of one machine.
#[derive(Debug)]
pub struct Xen {
    vcpus: u32,
    channels: EventChannels,
    pollers: Pollers,
    shared_info: SharedInfoPage,
    /// `HVM_PARAM_CALLBACK_IRQ`: kept for the guest, and not acted upon. Relaxed: a value of the
    /// guest's own.
    callback: AtomicU64,
}

impl Xen {
    /// For a machine of `vcpus` vCPUs with this memory.
    pub fn new(vcpus: u32, memory: GuestMemoryMmap, own_writes: Arc<OwnWrites>) -> Self {
        Self {
            vcpus,
            channels: EventChannels::default(),
            pollers: Pollers::new(vcpus),
            shared_info: SharedInfoPage::new(memory, own_writes),
            callback: AtomicU64::new(0),
        }
    }

    /// Fills the hypercall page at `at`, a guest-physical address, with ways out to the VMM.
    ///
    /// # Errors
    /// No RAM is there.
    pub fn fill_hypercall_page(&self, at: u64, by: HypercallsBy) -> Result<(), NotMapped> {
        self.shared_info.write_page(at, &page::hypercall_page(by))
    }

    /// Sends an event: sets its bit and kicks who polls for it. The answer to the caller.
    fn send(&self, from: VcpuIndex, port: Port, kick: &KickService) -> i64 {
        let Some(target) = self.channels.owner(port) else {
            return -errno::EINVAL;
        };
        let from = Kicker::Vcpu(from);
        let arrived = kick.arrive(from, kick.destination_of(target));
        if arrived.is_dropped() {
            // All of it: with its bit set the next look would find it.
            kick.deliver(&arrived, from, target);
            return 0;
        }
        let set = self.shared_info.set_pending(port, target);
        // Closed meanwhile: as for who sends a moment later.
        let is_closed = set.is_ok() && self.channels.owner(port).is_none();
        let event = if is_closed { self.take_back(port) } else { set };
        match event {
            Err(NotMapped) => {
                kick.note_not_accepted(&arrived, from, target);
                -errno::EINVAL
            }
            // Whoever set the bit has kicked, and a poll that starts now finds it.
            Ok(Event::WasPending) => {
                kick.note_running(&arrived, from, target);
                0
            }
            Ok(Event::IsNew) => {
                self.wake_pollers(&arrived, from, port, target, kick);
                0
            }
        }
    }

    /// Takes back the event of a port that was closed after its owner was looked up: bound again,
    /// it starts without. If it is bound again already the event stays, as a new one: it may stand
    /// for one of the new owner's, which must not be lost, and one too many does no harm.
    fn take_back(&self, port: Port) -> Result<Event, NotMapped> {
        self.shared_info.clear_pending(port)?;
        let owner = self.channels.owner(port).ok_or(NotMapped)?;
        self.shared_info.set_pending(port, owner)?;
        Ok(Event::IsNew)
    }

    fn wake_pollers(
        &self,
        arrived: &Arrived,
        from: Kicker,
        port: Port,
        target: VcpuIndex,
        kick: &KickService,
    ) {
        let mut woken = 0;
        for vcpu in self.pollers.take(port) {
            kick.deliver(arrived, from, vcpu);
            woken += 1;
        }
        if woken == 0 {
            kick.note_running(arrived, from, target);
        }
    }

    /// Waits for an event of `ports`.
    fn poll(&self, vcpu: VcpuIndex, ports: &[Port]) -> Outcome {
        let on = match ports {
            &[port] => WaitsFor::Port(port),
            _ => WaitsFor::Any,
        };
        if !self.shared_info.is_mapped() {
            return Outcome::Answer(-errno::EINVAL);
        }
        let any_pending = || ports.iter().any(|&port| self.shared_info.is_pending(port));
        match self.pollers.wait(vcpu, on, any_pending) {
            Verdict::Pending => Outcome::Answer(0),
            Verdict::Halt => Outcome::Halt,
        }
    }

    /// The index of the vCPU with this ID: they are the same.
    fn vcpu(&self, id: u32) -> Option<VcpuIndex> {
        (id < self.vcpus).then_some(VcpuIndex(id))
    }

    /// All that a restored machine has to know. Only while it stands still.
    pub fn save(&self) -> SavedXen {
        SavedXen {
            shared_info: self.shared_info.address(),
            callback: self.callback.load(Relaxed),
            ipis: self.channels.save(),
            polls: self.pollers.save(),
        }
    }

    /// Takes over what was saved. Only while the machine stands still.
    ///
    /// # Errors
    /// [`LoadError`] for what no machine saves. Nothing has changed then.
    pub fn load(&self, saved: &SavedXen) -> Result<(), LoadError> {
        saved.check(self.vcpus)?;
        if let Some(page) = saved.shared_info {
            self.shared_info
                .place_at(page)
                .map_err(|NotMapped| LoadError::SharedInfo(page))?;
        }
        self.callback.store(saved.callback, Relaxed);
        self.channels.load(&saved.ipis);
        self.pollers.load(&saved.polls);
        Ok(())
    }
}

const _: () = assert!(EVENT_PORTS as usize == 64 * guest_payload::abi::xen::EVENT_WORDS);
#[cfg(test)]
#[cfg(not(loom))]
#[path = "xen_test.rs"]
mod tests;
