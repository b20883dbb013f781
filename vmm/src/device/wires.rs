//! What devices need of the machine around them: interrupt lines and clocks.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kvm_ioctls::VmFd;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::memory;

/// The level of an interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Not asserted.
    Low,
    /// Asserted.
    High,
}

/// The machine around the devices.
pub trait Wires: std::fmt::Debug + Send + Sync {
    /// Sets an interrupt line of PIC and I/O APIC, 0 to 23.
    fn set_line(&self, line: u32, level: Level);

    /// Time since the machine was made, by a clock that goes with it to other processes.
    fn uptime(&self) -> Duration;

    /// Time since 1970, UTC.
    fn time_of_day(&self) -> Duration;

    /// Makes KVM look up anew where the page at `gpa` is.
    fn forget_page(&self, gpa: u64);

    /// One edge on a line.
    fn pulse(&self, line: u32) {
        self.set_line(line, Level::High);
        self.set_line(line, Level::Low);
    }
}

/// The wires of a VM with KVM's interrupt controllers.
#[derive(Debug)]
pub struct KvmWires {
    vm: Arc<VmFd>,
    memory: GuestMemoryMmap,
}

impl KvmWires {
    /// Of `vm`, whose memory is `memory`.
    pub fn new(vm: Arc<VmFd>, memory: GuestMemoryMmap) -> Self {
        Self { vm, memory }
    }
}

impl Wires for KvmWires {
    fn set_line(&self, line: u32, level: Level) {
        // Fails for a line that no interrupt controller has: then nobody hears it.
        let _ = self.vm.set_irq_line(line, level == Level::High);
    }

    fn uptime(&self) -> Duration {
        // kvmclock: it is saved, restored and set with the guest's other clocks.
        let clock = self.vm.get_clock().map_or(0, |data| data.clock);
        Duration::from_nanos(clock)
    }

    fn time_of_day(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn forget_page(&self, gpa: u64) {
        memory::forget_page(&self.memory, GuestAddress(gpa));
    }
}
