//! Deciding `--kick` and `--halt`.

use crate::pv::{HaltIn, KickBy};
use crate::spec::Choice;

/// Why a combination cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// KVM's kick needs KVM's local APIC.
    #[error(
        "--kick kvm --halt vmm cannot work: KVM's kick wakes nobody without its in-kernel local \
         APIC; use --kick vmm --halt vmm"
    )]
    KvmKicksVmmHalts,
    /// `vmcall` does not complete.
    #[error(
        "--kick kvm: on this host a guest's vmcall never completes (CPL 0 is emulated); use \
         --kick vmm, or `vmm doctor` for more"
    )]
    VmcallNeverCompletes,
    /// KVM does not serve the kick.
    #[error(
        "--kick kvm: this host's KVM has no PV_UNHALT, so it wakes nobody; use --kick vmm, or \
         `vmm doctor` for more"
    )]
    NoPvUnhalt,
    /// There is no way in for the VMM's kick.
    #[error(
        "--kick vmm: this guest has no stub page (ELF note `vmm`, type 1), so its kicks cannot \
         reach the VMM; use --kick kvm"
    )]
    NoStubPage,
    /// Only the VMM can drop a kick.
    #[error("--drop-kick needs --kick vmm: KVM's own kicks do not pass through the VMM")]
    DropNeedsVmm,
}

impl Error {
    /// Whether another host could do it.
    pub fn is_host_limit(&self) -> bool {
        matches!(self, Self::VmcallNeverCompletes | Self::NoPvUnhalt)
    }
}

/// Decides `--halt`.
pub fn halt_in(halt: Choice) -> HaltIn {
    match halt {
        Choice::Vmm => HaltIn::Vmm,
        Choice::Auto | Choice::Kvm => HaltIn::Kvm,
    }
}

/// Whether KVM's own kick wakes a halted vCPU on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvmKick {
    /// It does.
    Works,
    /// The guest never gets past its `vmcall`.
    VmcallNeverCompletes,
    /// `KVM_GET_SUPPORTED_CPUID` does not have PV_UNHALT.
    NoPvUnhalt,
}

/// Refuses what no host can do.
///
/// # Errors
/// [`Error`].
pub fn check(
    kick: Choice,
    halt_in: HaltIn,
    has_stub_page: bool,
    drops_kick: bool,
) -> Result<(), Error> {
    match kick {
        Choice::Kvm if halt_in == HaltIn::Vmm => Err(Error::KvmKicksVmmHalts),
        Choice::Kvm if drops_kick => Err(Error::DropNeedsVmm),
        Choice::Vmm if !has_stub_page => Err(Error::NoStubPage),
        Choice::Auto if drops_kick && !has_stub_page => Err(Error::NoStubPage),
        Choice::Auto | Choice::Kvm | Choice::Vmm => Ok(()),
    }
}

/// Decides `--kick`.
///
/// # Errors
/// [`Error`].
pub fn kick_by(
    kick: Choice,
    halt_in: HaltIn,
    has_stub_page: bool,
    drops_kick: bool,
    kvm_kick: KvmKick,
) -> Result<KickBy, Error> {
    check(kick, halt_in, has_stub_page, drops_kick)?;
    match (kick, kvm_kick) {
        (Choice::Kvm, KvmKick::VmcallNeverCompletes) => Err(Error::VmcallNeverCompletes),
        (Choice::Kvm, KvmKick::NoPvUnhalt) => Err(Error::NoPvUnhalt),
        (Choice::Kvm, KvmKick::Works) => Ok(KickBy::Kvm),
        (Choice::Vmm, _) => Ok(KickBy::Vmm),
        (Choice::Auto, _) if halt_in == HaltIn::Vmm || drops_kick => Ok(KickBy::Vmm),
        (Choice::Auto, KvmKick::VmcallNeverCompletes | KvmKick::NoPvUnhalt) if has_stub_page => {
            Ok(KickBy::Vmm)
        }
        (Choice::Auto, _) => Ok(KickBy::Kvm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(works: bool, kick: Choice, halt: Choice, stub: bool) -> Result<(KickBy, HaltIn), Error> {
        let halt_in = halt_in(halt);
        Ok((
            kick_by(kick, halt_in, stub, false, kvm_kick(works))?,
            halt_in,
        ))
    }

    fn kvm_kick(works: bool) -> KvmKick {
        if works {
            KvmKick::Works
        } else {
            KvmKick::VmcallNeverCompletes
        }
    }

    #[test]
    fn a_kvm_without_pv_unhalt_takes_no_kick() {
        let on = |kick, stub| kick_by(kick, HaltIn::Kvm, stub, false, KvmKick::NoPvUnhalt);
        assert_eq!(on(Choice::Auto, true), Ok(KickBy::Vmm));
        assert_eq!(on(Choice::Kvm, true), Err(Error::NoPvUnhalt));
        // Nobody else is there; CPUID then hides PV_UNHALT.
        assert_eq!(on(Choice::Auto, false), Ok(KickBy::Kvm));
    }

    #[test]
    fn auto_is_kvm_where_vmcall_completes_and_vmm_where_not() {
        let auto = Choice::Auto;
        assert_eq!(on(true, auto, auto, true), Ok((KickBy::Kvm, HaltIn::Kvm)));
        assert_eq!(on(false, auto, auto, true), Ok((KickBy::Vmm, HaltIn::Kvm)));
        assert_eq!(
            on(false, auto, Choice::Vmm, true),
            Ok((KickBy::Vmm, HaltIn::Vmm))
        );
        assert_eq!(on(false, auto, auto, false), Ok((KickBy::Kvm, HaltIn::Kvm)));
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        assert_eq!(
            on(true, Choice::Kvm, Choice::Vmm, true),
            Err(Error::KvmKicksVmmHalts)
        );
        assert_eq!(
            on(false, Choice::Kvm, Choice::Auto, true),
            Err(Error::VmcallNeverCompletes)
        );
        assert_eq!(
            on(true, Choice::Vmm, Choice::Auto, false),
            Err(Error::NoStubPage)
        );
        let dropped = kick_by(Choice::Kvm, HaltIn::Kvm, true, true, KvmKick::Works);
        assert_eq!(dropped, Err(Error::DropNeedsVmm));
    }
}
