//! MP_STATE, and the flag that KVM hides behind it.

use kvm_bindings::{
    KVM_MP_STATE_AP_RESET_HOLD, KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED,
    KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_SIPI_RECEIVED, KVM_MP_STATE_UNINITIALIZED, kvm_mp_state,
};
use kvm_ioctls::VcpuFd;
use serde::{Deserialize, Serialize};

use super::error::{Call, Error};

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

    fn from_kvm(number: u32) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|state| state.to_kvm() == number);
        known.ok_or(Error::UnknownMpState(number))
    }

    pub(super) fn get(fd: &VcpuFd) -> Result<Self, Error> {
        Self::from_kvm(fd.get_mp_state().call("KVM_GET_MP_STATE")?.mp_state)
    }

    pub(super) fn set(self, fd: &VcpuFd) -> Result<(), Error> {
        let mp_state = self.to_kvm();
        fd.set_mp_state(kvm_mp_state { mp_state })
            .call("KVM_SET_MP_STATE")
    }
}

/// What [`peek`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// MP_STATE, as `KVM_GET_MP_STATE` tells it: a halted vCPU that was kicked is runnable.
    pub mp_state: MpState,
    /// `pv_unhalted` was set. Looking has cleared it (since Linux 6.15): a vCPU that goes on, here
    /// or elsewhere, has to be kicked again.
    pub pv_unhalted: bool,
}

/// MP_STATE and the `pv_unhalted` that KVM folds into it for a halted vCPU only: for a running
/// one, pretend that it is halted and look again.
///
/// While all vCPUs stand still, and with the local APIC in KVM: a kick by another vCPU between
/// the steps would be lost.
///
/// # Errors
/// What the kernel says.
pub fn peek(fd: &VcpuFd) -> Result<Peek, Error> {
    let mp_state = MpState::get(fd)?;
    let pv_unhalted = match mp_state {
        MpState::Runnable => {
            MpState::Halted.set(fd)?;
            let seen = MpState::get(fd);
            // Whatever was seen: nobody must be left halted who was not.
            MpState::Runnable.set(fd)?;
            seen? == MpState::Runnable
        }
        _ => false,
    };
    Ok(Peek {
        mp_state,
        pv_unhalted,
    })
}
