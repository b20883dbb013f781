//! `fwait` where KVM cannot emulate it. Linux executes it whenever a thread ends (`fpu__drop` in
//! arch/x86/kernel/fpu/core.c).

use kvm_ioctls::VcpuFd;

/// The instruction.
pub(super) const FWAIT: u8 = 0x9b;

const CR0_MP: u64 = 1 << 1;
const CR0_TS: u64 = 1 << 3;
/// The x87 status word's summary of unmasked exceptions.
const FSW_ES: u16 = 1 << 7;

/// Whether it was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fwait {
    /// RIP is behind it.
    Done,
    /// It has to end in #NM or #MF. Nothing was changed.
    Faults,
}

/// What `fwait` does with these (SDM vol. 2, "WAIT/FWAIT").
fn outcome(cr0: u64, fsw: u16) -> Fwait {
    let not_available = cr0 & CR0_MP != 0 && cr0 & CR0_TS != 0;
    if not_available || fsw & FSW_ES != 0 {
        Fwait::Faults
    } else {
        Fwait::Done
    }
}

/// Carries out the `fwait` at RIP, if it only has to wait.
///
/// # Errors
/// What KVM says.
pub(super) fn carry_out(vcpu: &VcpuFd) -> Result<Fwait, kvm_ioctls::Error> {
    let outcome = outcome(vcpu.get_sregs()?.cr0, vcpu.get_fpu()?.fsw);
    if outcome == Fwait::Done {
        let mut regs = vcpu.get_regs()?;
        regs.rip = regs.rip.wrapping_add(1);
        vcpu.set_regs(&regs)?;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_nothing_pending_there_is_nothing_to_do() {
        assert_eq!(outcome(0x8005_0033, 0), Fwait::Done);
        assert_eq!(outcome(CR0_TS, !FSW_ES), Fwait::Done);
    }

    #[test]
    fn a_pending_exception_is_not_skipped() {
        assert_eq!(outcome(0x8005_0033, FSW_ES), Fwait::Faults);
    }

    #[test]
    fn a_switched_off_fpu_is_not_skipped() {
        assert_eq!(outcome(CR0_MP | CR0_TS, 0), Fwait::Faults);
    }
}
