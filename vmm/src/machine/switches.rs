//! Deciding `--kick` and `--halt`.

use crate::pv::{HaltIn, KickBy};
use crate::spec::{Choice, RunSpec};

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
    /// KVM's Xen support takes every `vmcall`.
    #[error(
        "--kick kvm --xen: on this host KVM hands every vmcall of a Xen guest to the VMM, so its own \
         kick is never called; use --kick vmm"
    )]
    XenTakesVmcall,
    /// There is no way in for the VMM's kick.
    #[error(
        "--kick vmm: this guest has no stub page (ELF note `vmm`, type 1) and no symbol \
         `kvm_kick_cpu` with a vmcall in it, so its kicks cannot reach the VMM; tell where its \
         vmcall is by --kick-site ADDRESS, or use --kick kvm"
    )]
    NoWayIn,
    /// A stub page needs no breakpoint.
    #[error("--kick-site: this guest kicks through its stub page; leave it out")]
    SiteAndStubPage,
    /// The breakpoint is for the VMM.
    #[error("--kick-site says where the VMM takes the kick, and --kick kvm that it does not")]
    SiteNeedsVmm,
    /// A guest that cannot be told from the payload has no use for it.
    #[error(
        "--kick-site is for Linux kernels and test images; this guest is neither, leave it out"
    )]
    SiteNeedsPc,
    /// The image says otherwise.
    #[error(
        "--kick-site {0:#x}: the image has no vmcall there; give the address of the instruction itself, \
         as a disassembly has it, not that of its function"
    )]
    NoVmcallAt(u64),
    /// A PC's interrupt controllers are KVM's, and its local APICs with them.
    #[error(
        "--halt vmm: this guest needs interrupt controllers, which are KVM's here; use --halt kvm"
    )]
    PcHaltsInKvm,
    /// A PC's vCPUs halt in KVM, where the VMM cannot take their pCPUs.
    #[error(
        "--sched: this guest needs interrupt controllers, which are KVM's here, and a vCPU that halts \
         inside KVM keeps its pCPU from the VMM's scheduler; use --sched host"
    )]
    PcSchedules,
    /// There is no way in for kicks that are to go wrong.
    #[error(
        "{}: the kicks of this guest do not reach the VMM (no stub page, and no symbol \
         `kvm_kick_cpu`); tell where its vmcall is by --kick-site ADDRESS, or leave the option out", .0.option()
    )]
    MeddlingHasNoWayIn(Meddling),
    /// Only the VMM can have a kick go wrong.
    #[error("{} needs --kick vmm: KVM's own kicks do not pass through the VMM", .0.option())]
    MeddlingNeedsVmm(Meddling),
}

impl Error {
    /// Whether another host could do it.
    pub fn is_host_limit(&self) -> bool {
        matches!(
            self,
            Self::VmcallNeverCompletes | Self::NoPvUnhalt | Self::XenTakesVmcall
        )
    }
}

/// What has kicks go wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// Nothing.
    None,
    /// `--drop-kick`
    DropKick,
    /// `--kick-fault`
    KickFault,
}

impl Meddling {
    /// What `spec` asks for.
    pub fn of(spec: &RunSpec) -> Self {
        match (spec.drop_kick, spec.host.lab.kick_faults) {
            (_, Some(_)) => Self::KickFault,
            (Some(_), None) => Self::DropKick,
            (None, None) => Self::None,
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::KickFault => "--kick-fault",
            Self::None | Self::DropKick => "--drop-kick",
        }
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
    /// KVM's Xen support takes every `vmcall` before its own hypercalls.
    XenTakesVmcall,
}

/// How a guest's kick can reach the VMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayIn {
    /// By the stub page that its image names.
    StubPage,
    /// By a hardware breakpoint on its `vmcall`, at this linear address.
    Breakpoint(u64),
    /// Not at all.
    None,
}

/// Refuses what no host can do.
///
/// # Errors
/// [`Error`].
pub fn check(
    kick: Choice,
    halt_in: HaltIn,
    way_in: WayIn,
    meddling: Meddling,
) -> Result<(), Error> {
    let meddles = meddling != Meddling::None;
    match kick {
        Choice::Kvm if halt_in == HaltIn::Vmm => Err(Error::KvmKicksVmmHalts),
        Choice::Kvm if meddles => Err(Error::MeddlingNeedsVmm(meddling)),
        Choice::Auto | Choice::Vmm if meddles && way_in == WayIn::None => {
            Err(Error::MeddlingHasNoWayIn(meddling))
        }
        Choice::Vmm if way_in == WayIn::None => Err(Error::NoWayIn),
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
    way_in: WayIn,
    meddling: Meddling,
    kvm_kick: KvmKick,
) -> Result<KickBy, Error> {
    check(kick, halt_in, way_in, meddling)?;
    match (kick, kvm_kick) {
        (Choice::Kvm, KvmKick::VmcallNeverCompletes) => Err(Error::VmcallNeverCompletes),
        (Choice::Kvm, KvmKick::NoPvUnhalt) => Err(Error::NoPvUnhalt),
        (Choice::Kvm, KvmKick::XenTakesVmcall) => Err(Error::XenTakesVmcall),
        (Choice::Kvm, KvmKick::Works) => Ok(KickBy::Kvm),
        (Choice::Vmm, _) => Ok(KickBy::Vmm),
        (Choice::Auto, _) if halt_in == HaltIn::Vmm || meddling != Meddling::None => {
            Ok(KickBy::Vmm)
        }
        (
            Choice::Auto,
            KvmKick::VmcallNeverCompletes | KvmKick::NoPvUnhalt | KvmKick::XenTakesVmcall,
        ) if way_in != WayIn::None => Ok(KickBy::Vmm),
        (Choice::Auto, _) => Ok(KickBy::Kvm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_STUB: WayIn = WayIn::None;
    const STUB: WayIn = WayIn::StubPage;

    fn on(
        works: bool,
        kick: Choice,
        halt: Choice,
        way_in: WayIn,
    ) -> Result<(KickBy, HaltIn), Error> {
        let halt_in = halt_in(halt);
        Ok((
            kick_by(kick, halt_in, way_in, Meddling::None, kvm_kick(works))?,
            halt_in,
        ))
    }

    #[test]
    fn a_breakpoint_lets_the_vmm_take_the_kick_where_kvm_cannot() {
        let site = WayIn::Breakpoint(0xffff_ffff_8100_0000);
        let auto = Choice::Auto;
        assert_eq!(on(false, auto, auto, site), Ok((KickBy::Vmm, HaltIn::Kvm)));
        assert_eq!(on(true, auto, auto, site), Ok((KickBy::Kvm, HaltIn::Kvm)));
        assert_eq!(
            on(true, Choice::Vmm, auto, site),
            Ok((KickBy::Vmm, HaltIn::Kvm))
        );
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
        let on = |kick, way| kick_by(kick, HaltIn::Kvm, way, Meddling::None, KvmKick::NoPvUnhalt);
        assert_eq!(on(Choice::Auto, STUB), Ok(KickBy::Vmm));
        assert_eq!(on(Choice::Kvm, STUB), Err(Error::NoPvUnhalt));
        // Nobody else is there; CPUID then hides PV_UNHALT.
        assert_eq!(on(Choice::Auto, NO_STUB), Ok(KickBy::Kvm));
    }

    #[test]
    fn auto_is_kvm_where_vmcall_completes_and_vmm_where_not() {
        let auto = Choice::Auto;
        assert_eq!(on(true, auto, auto, STUB), Ok((KickBy::Kvm, HaltIn::Kvm)));
        assert_eq!(on(false, auto, auto, STUB), Ok((KickBy::Vmm, HaltIn::Kvm)));
        assert_eq!(
            on(false, auto, Choice::Vmm, STUB),
            Ok((KickBy::Vmm, HaltIn::Vmm))
        );
        assert_eq!(
            on(false, auto, auto, NO_STUB),
            Ok((KickBy::Kvm, HaltIn::Kvm))
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        assert_eq!(
            on(true, Choice::Kvm, Choice::Vmm, STUB),
            Err(Error::KvmKicksVmmHalts)
        );
        assert_eq!(
            on(false, Choice::Kvm, Choice::Auto, STUB),
            Err(Error::VmcallNeverCompletes)
        );
        assert_eq!(
            on(true, Choice::Vmm, Choice::Auto, NO_STUB),
            Err(Error::NoWayIn)
        );
        for meddling in [Meddling::DropKick, Meddling::KickFault] {
            let meddled = kick_by(Choice::Kvm, HaltIn::Kvm, STUB, meddling, KvmKick::Works);
            assert_eq!(meddled, Err(Error::MeddlingNeedsVmm(meddling)));
            for kick in [Choice::Auto, Choice::Vmm] {
                let unreached = kick_by(kick, HaltIn::Kvm, NO_STUB, meddling, KvmKick::Works);
                assert_eq!(unreached, Err(Error::MeddlingHasNoWayIn(meddling)));
            }
        }
    }
}
