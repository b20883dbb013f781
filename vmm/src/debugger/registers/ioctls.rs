//! From and to KVM.

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::{Error, VcpuFd};

use super::VcpuRegisters;

const IA32_KERNEL_GS_BASE: u32 = 0xc000_0102;

fn kernel_gs_base(value: u64) -> Result<Msrs, Error> {
    let entry = kvm_msr_entry {
        index: IA32_KERNEL_GS_BASE,
        data: value,
        ..kvm_msr_entry::default()
    };
    Msrs::from_entries(&[entry]).map_err(|_| Error::new(libc::EINVAL))
}

impl VcpuRegisters {
    /// Reads a vCPU that stands still.
    ///
    /// # Errors
    /// What KVM says.
    pub(in crate::debugger) fn read(fd: &VcpuFd) -> Result<Self, Error> {
        let mut msrs = kernel_gs_base(0)?;
        fd.get_msrs(&mut msrs)?;
        Ok(Self {
            regs: fd.get_regs()?,
            sregs: fd.get_sregs()?,
            fpu: fd.get_fpu()?,
            kernel_gs_base: msrs.as_slice().first().map_or(0, |msr| msr.data),
        })
    }

    /// Writes what is not as `before`: setting what is the same is not always without effect
    /// (KVM_SET_REGS drops a pending exception).
    ///
    /// # Errors
    /// What KVM says. Control registers that do not go together are EINVAL, and nothing is set.
    pub(in crate::debugger) fn write(&self, before: &Self, fd: &VcpuFd) -> Result<(), Error> {
        if self.sregs != before.sregs {
            fd.set_sregs(&self.sregs)?;
        }
        if self.regs != before.regs {
            fd.set_regs(&self.regs)?;
        }
        if self.fpu != before.fpu {
            fd.set_fpu(&self.fpu)?;
        }
        if self.kernel_gs_base != before.kernel_gs_base {
            fd.set_msrs(&kernel_gs_base(self.kernel_gs_base)?)?;
        }
        Ok(())
    }
}
