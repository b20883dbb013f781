//! MP_STATE of a vCPU, and the flag that KVM hides behind it.

use kvm_bindings::kvm_mp_state;
use kvm_ioctls::VcpuFd;

use super::error::{Call, Error};
use super::mp_state::MpState;

impl MpState {
    pub(super) fn get(fd: &VcpuFd) -> Result<Self, Error> {
        let number = fd.get_mp_state().call("KVM_GET_MP_STATE")?.mp_state;
        Self::from_kvm(number).ok_or(Error::UnknownMpState(number))
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
