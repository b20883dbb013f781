//! MP_STATE.

use kvm_bindings::{
    KVM_MP_STATE_AP_RESET_HOLD, KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED,
    KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_SIPI_RECEIVED, KVM_MP_STATE_UNINITIALIZED,
};
use serde::{Deserialize, Serialize};

/// `KVM_MP_STATE_*`, those of x86.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MpState {
    /// It executes instructions.
    Runnable,
    /// An application processor that waits for INIT.
    Uninitialized,
    /// It waits for SIPI.
    InitReceived,
    /// It is halted.
    Halted,
    /// SIPI has come and it has not started yet.
    SipiReceived,
    /// An encrypted guest's application processor that waits in its reset hold.
    ApResetHold,
}

impl MpState {
    const ALL: [Self; 6] = [
        Self::Runnable,
        Self::Uninitialized,
        Self::InitReceived,
        Self::Halted,
        Self::SipiReceived,
        Self::ApResetHold,
    ];

    /// The kernel's number.
    #[must_use]
    pub fn to_kvm(self) -> u32 {
        match self {
            Self::Runnable => KVM_MP_STATE_RUNNABLE,
            Self::Uninitialized => KVM_MP_STATE_UNINITIALIZED,
            Self::InitReceived => KVM_MP_STATE_INIT_RECEIVED,
            Self::Halted => KVM_MP_STATE_HALTED,
            Self::SipiReceived => KVM_MP_STATE_SIPI_RECEIVED,
            Self::ApResetHold => KVM_MP_STATE_AP_RESET_HOLD,
        }
    }

    /// The state of a kernel's number; `None` for one that no x86 guest of ours can have.
    pub(super) fn from_kvm(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.to_kvm() == number)
    }
}
