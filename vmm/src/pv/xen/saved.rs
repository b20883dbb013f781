//! What a snapshot keeps of Xen's interface, beside the pending bits, which are guest memory.

use serde::{Deserialize, Serialize};

use super::channels::Port;
use super::pollers;

/// Event channels, polls and the place of the shared info page. Its postcard form is part of the
/// snapshot format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedXen {
    /// Guest-physical address of the shared info page, once the guest has one.
    pub shared_info: Option<u64>,
    /// `HVM_PARAM_CALLBACK_IRQ`.
    pub callback: u64,
    /// Bound ports and the vCPUs that they are bound to, by port.
    pub ipis: Vec<(u32, u32)>,
    /// What each vCPU polls for: 0 for nothing, a port, or all ones for any.
    pub polls: Vec<u32>,
}

/// What no machine saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A port that is not there, or comes twice, or a vCPU that is not there.
    #[error("Xen: event channel {port} of vCPU {vcpu} is none that this machine can have")]
    Channel {
        /// The port.
        port: u32,
        /// The vCPU.
        vcpu: u32,
    },
    /// Polls of another number of vCPUs, or for a port that is not there.
    #[error("Xen: the polls are not those of {vcpus} vCPUs")]
    Polls {
        /// vCPUs of the machine.
        vcpus: u32,
    },
    /// No RAM is there.
    #[error("Xen: no memory at {0:#x} for the shared info page")]
    SharedInfo(u64),
}

impl SavedXen {
    /// Whether a machine of `vcpus` vCPUs can have saved it, its shared info page aside.
    pub(super) fn check(&self, vcpus: u32) -> Result<(), LoadError> {
        let mut last = 0;
        for &(port, vcpu) in &self.ipis {
            if port <= last || Port::new(port).is_none() || vcpu >= vcpus {
                return Err(LoadError::Channel { port, vcpu });
            }
            last = port;
        }
        let is_all = u32::try_from(self.polls.len()) == Ok(vcpus);
        if is_all && self.polls.iter().all(|&word| pollers::is_word(word)) {
            Ok(())
        } else {
            Err(LoadError::Polls { vcpus })
        }
    }
}
