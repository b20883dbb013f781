//! Why a vCPU's state cannot be saved or restored.

use std::io;

use super::mp_state::MpState;

/// Why a vCPU's state cannot be saved or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An ioctl failed.
    #[error("{0}")]
    Ioctl(&'static str, #[source] io::Error),
    /// KVM lists an MSR and does not give its value.
    #[error("KVM_GET_MSRS: MSR {0:#x} cannot be read")]
    UnreadableMsr(u32),
    /// KVM does not take the value of an MSR.
    #[error("KVM_SET_MSRS: MSR {index:#x} refused the value {value:#x}")]
    RefusedMsr {
        /// Which.
        index: u32,
        /// The saved value.
        value: u64,
    },
    /// The guest's TSC cannot be made to run at its rate.
    #[error(
        "KVM_SET_TSC_KHZ: the guest's TSC runs at {saved} kHz, this host's at {host} kHz, and it \
         cannot be scaled here"
    )]
    TscRate {
        /// The guest's rate in kHz.
        saved: u32,
        /// The host's rate in kHz.
        host: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Saved with a local APIC in KVM, restored without one, or the reverse.
    #[error(
        "the local APIC is in {saved} in the saved state and in {here} here: use the same --halt"
    )]
    LapicElsewhere {
        /// Where it was.
        saved: &'static str,
        /// Where it is.
        here: &'static str,
    },
    /// An MP_STATE that no x86 guest of ours can have.
    #[error("KVM_GET_MP_STATE: unknown state {0}")]
    UnknownMpState(u32),
    /// An MP_STATE that needs the local APIC in KVM.
    #[error("KVM_SET_MP_STATE: {0:?} needs the local APIC in KVM")]
    MpStateWithoutLapic(MpState),
    /// The guest runs guests of its own, whose state is not saved.
    #[error(
        "the guest has turned on virtualization of its own ({0}), whose state is not saved: \
         hide it from the guest or stop what uses it"
    )]
    Nested(&'static str),
    /// More of something than a state can hold.
    #[error("KVM returned {count} {what}, more than the {most} that can be saved")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The most.
        most: usize,
    },
}

/// Names the ioctl that failed.
pub(super) trait Call<T> {
    fn call(self, name: &'static str) -> Result<T, Error>;
}

impl<T> Call<T> for Result<T, kvm_ioctls::Error> {
    fn call(self, name: &'static str) -> Result<T, Error> {
        self.map_err(|e| Error::Ioctl(name, io::Error::from_raw_os_error(e.errno())))
    }
}

impl<T> Call<T> for io::Result<T> {
    fn call(self, name: &'static str) -> Result<T, Error> {
        self.map_err(|e| Error::Ioctl(name, e))
    }
}
