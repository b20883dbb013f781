//! Giving a vCPU back a kick that looking for it has used up, also where the guest has since made its
//! local APIC take none: switched it off, or given it another ID.

use super::run::Vcpu;
use crate::cpu::lapic::{
    APIC_BASE_ENABLE, APIC_BASE_X2APIC, ID_AT, MSR_APIC_BASE, SVR_AT, SVR_ENABLED,
};
use crate::cpu::state;
use crate::pv::kick::Unhalted;

impl Vcpu {
    /// Gives the vCPU the kick. Only while all vCPUs stand still.
    ///
    /// # Errors
    /// What KVM says.
    pub(crate) fn give_back_kick(&self) -> Result<(), state::Error> {
        if self.board.kick.rekick(self.index) != Unhalted::NotAccepted {
            return Ok(());
        }
        self.kick_through_a_new_apic()
    }

    /// A kick is an APIC message, `pv_unhalted` the vCPU's own: for the time of the kick the local APIC is
    /// as after a reset, as far as taking messages goes, and then again as the guest has left it.
    fn kick_through_a_new_apic(&self) -> Result<(), state::Error> {
        let refused = |what: &'static str| {
            move |error: kvm_ioctls::Error| state::Error::Ioctl(what, error.into())
        };
        let lapic = self.fd.get_lapic().map_err(refused("KVM_GET_LAPIC"))?;
        let base = self
            .fd
            .get_sregs()
            .map_err(refused("KVM_GET_SREGS"))?
            .apic_base;
        let set_base = |base| state::set_msr(&self.fd, MSR_APIC_BASE, base);
        let mut taking = lapic;
        for (byte, enabled) in taking.regs[SVR_AT..]
            .iter_mut()
            .zip(SVR_ENABLED.to_le_bytes())
        {
            *byte |= enabled.cast_signed();
        }
        if base & APIC_BASE_X2APIC == 0 {
            // In x2APIC mode the ID is read-only. In xAPIC mode it has 8 bits, the topmost.
            let id = self.shared.apic_id.to_le_bytes();
            taking.regs[ID_AT..ID_AT + 4].copy_from_slice(&[0, 0, 0, id[0].cast_signed()]);
        }
        set_base(base | APIC_BASE_ENABLE)?;
        let kicked = self
            .fd
            .set_lapic(&taking)
            .map_err(refused("KVM_SET_LAPIC"))
            .map(|()| self.board.kick.rekick(self.index));
        // Whatever came of it, the guest finds its local APIC as it left it. The registers first: they are
        // the same with the APIC off.
        self.fd
            .set_lapic(&lapic)
            .map_err(refused("KVM_SET_LAPIC"))?;
        set_base(base)?;
        match kicked? {
            Unhalted::NotAccepted => Err(state::Error::Ioctl(
                "KVM_SIGNAL_MSI, to give a kick back",
                std::io::Error::other("the local APIC takes none"),
            )),
            _ => Ok(()),
        }
    }
}
