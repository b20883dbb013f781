//! What was asked for and found, for all CPUs.

use core::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::CpuResults;
use guest_payload::args::Args;
use guest_payload::lock::TicketBits;
use guest_payload::pv::{Backend, Platform};

use crate::boot_cell::BootCell;
use crate::platform::Machine;

/// What was asked for and found, fixed before any other CPU starts.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) args: Args<'static>,
    pub(crate) bits: TicketBits,
    pub(crate) machine: Machine,
    pub(crate) backend: Backend,
}

impl Setup {
    /// Ends the halt of `other`, or has its next one return at once.
    pub(crate) fn kick(&self, other: &CpuResults) {
        match self.backend {
            Backend::Native | Backend::Kvm => self.machine.kick(other.apic_id.load(Relaxed)),
            Backend::Xen => self.machine.send_event(other.kick_port.load(Relaxed)),
        }
    }

    /// Halts this CPU, whose numbers `own` are, until it is kicked.
    pub(crate) fn halt(&self, own: &CpuResults) {
        match self.backend {
            Backend::Native | Backend::Kvm => self.machine.halt(),
            Backend::Xen => {
                let port = own.kick_port.load(Relaxed);
                self.machine.poll_event(port);
                self.machine.clear_event(port);
            }
        }
    }
}

static SETUP: BootCell<Setup> = BootCell::new(Setup {
    args: Args::DEFAULT,
    bits: TicketBits::Eight,
    machine: Machine::Kernel,
    backend: Backend::Native,
});

/// The setup, after [`set`].
pub(crate) fn get() -> &'static Setup {
    SETUP.get()
}

/// Fixes it.
///
/// # Safety
/// No other CPU runs yet, and nobody has a reference from [`get`].
pub(crate) unsafe fn set(setup: Setup) {
    // SAFETY: the caller's.
    unsafe { SETUP.set(setup) };
}
