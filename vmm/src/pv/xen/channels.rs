//! The event channels of a machine: which port is bound to which vCPU. Pure.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Release},
};
use std::sync::{Mutex, PoisonError};

use guest_payload::abi::xen::EVENT_PORTS;

use crate::pv::apic_id::VcpuIndex;

/// The number of an event channel that the 2-level ABI has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(u32);

impl Port {
    /// Port `number`, if there is one. Port 0 exists and is never bound.
    pub fn new(number: u32) -> Option<Self> {
        (number < EVENT_PORTS).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The word of a bitmap it is in.
    pub(super) fn word(self) -> u32 {
        self.0 / u64::BITS
    }

    /// Its bit in that word.
    pub(super) fn bit(self) -> u64 {
        1 << (self.0 % u64::BITS)
    }

    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A port that is not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotBound;

/// Every port is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoFreePort;

/// Who each port is bound to. Looked up without a lock: that is what every kick does.
#[derive(Debug)]
pub(super) struct EventChannels {
    /// By port: 0 for free, else the vCPU's index + 1.
    owners: Box<[AtomicU32]>,
    /// Held while a port is being bound.
    binding: Mutex<()>,
}

impl Default for EventChannels {
    fn default() -> Self {
        Self {
            owners: (0..EVENT_PORTS).map(|_| AtomicU32::new(0)).collect(),
            binding: Mutex::new(()),
        }
    }
}

impl EventChannels {
    /// Binds the lowest free port to `vcpu`; port 0 is nobody's, as in Xen.
    pub(super) fn bind_ipi(&self, vcpu: VcpuIndex) -> Result<Port, NoFreePort> {
        let _alone = self.binding.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (1..EVENT_PORTS)
            .zip(self.owners.iter().skip(1))
            .find(|(_, owner)| owner.load(Acquire) == 0);
        let (port, owner) = free.ok_or(NoFreePort)?;
        // Release: pairs with the Acquire in `owner`, for who learns of the port from the guest.
        owner.store(vcpu.0 + 1, Release);
        Ok(Port(port))
    }

    /// Frees a port.
    pub(super) fn close(&self, port: Port) -> Result<(), NotBound> {
        let before = self
            .owners
            .get(port.index())
            .map_or(0, |owner| owner.swap(0, AcqRel));
        if before == 0 { Err(NotBound) } else { Ok(()) }
    }

    /// The vCPU that `port` is bound to.
    pub(super) fn owner(&self, port: Port) -> Option<VcpuIndex> {
        let owner = self.owners.get(port.index())?.load(Acquire);
        owner.checked_sub(1).map(VcpuIndex)
    }

    /// The bound ports and their vCPUs, by port.
    pub(super) fn save(&self) -> Vec<(u32, u32)> {
        (0..EVENT_PORTS)
            .map(Port)
            .filter_map(|port| Some((port.0, self.owner(port)?.0)))
            .collect()
    }

    /// Takes over a list that has been checked.
    pub(super) fn load(&self, bound: &[(u32, u32)]) {
        let _alone = self.binding.lock().unwrap_or_else(PoisonError::into_inner);
        for owner in &self.owners {
            owner.store(0, Release);
        }
        for &(port, vcpu) in bound {
            let owner = Port::new(port).and_then(|port| self.owners.get(port.index()));
            if let Some(owner) = owner {
                owner.store(vcpu + 1, Release);
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn ports_are_given_out_from_1_and_freed_ones_again() {
        let channels = EventChannels::default();
        let port = |vcpu| channels.bind_ipi(VcpuIndex(vcpu)).unwrap().number();
        assert_eq!([port(0), port(7), port(7)], [1, 2, 3]);
        assert_eq!(channels.close(Port(2)), Ok(()));
        assert_eq!(channels.owner(Port(2)), None);
        assert_eq!(port(5), 2);
        assert_eq!(channels.owner(Port(2)), Some(VcpuIndex(5)));
    }

    #[test]
    fn port_0_and_ports_past_the_last_are_nobodys() {
        let channels = EventChannels::default();
        assert_eq!(channels.owner(Port(0)), None);
        assert_eq!(channels.close(Port(0)), Err(NotBound));
        assert_eq!(Port::new(4095), Some(Port(4095)));
        assert_eq!(Port::new(4096), None);
        assert_eq!(Port::new(u32::MAX), None);
    }

    #[test]
    fn when_all_4095_are_bound_there_is_none_left() {
        let channels = EventChannels::default();
        for _ in 1..4096 {
            channels.bind_ipi(VcpuIndex(0)).unwrap();
        }
        assert_eq!(channels.bind_ipi(VcpuIndex(0)), Err(NoFreePort));
        channels.close(Port(17)).unwrap();
        assert_eq!(channels.bind_ipi(VcpuIndex(1)), Ok(Port(17)));
    }

    #[test]
    fn what_was_saved_is_there_again_and_nothing_else() {
        let channels = EventChannels::default();
        for vcpu in [3, 1, 2] {
            channels.bind_ipi(VcpuIndex(vcpu)).unwrap();
        }
        channels.close(Port(2)).unwrap();
        let saved = channels.save();
        assert_eq!(saved, [(1, 3), (3, 2)]);
        let other = EventChannels::default();
        other.bind_ipi(VcpuIndex(9)).unwrap();
        other.bind_ipi(VcpuIndex(9)).unwrap();
        other.load(&saved);
        assert_eq!(other.save(), saved);
    }
}
