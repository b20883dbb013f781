//! What a machine has beside CPUs and memory, as far as its tables tell it.
//!
//! Ports and interrupts of devices are the devices' own. What is KVM's is here.

pub use crate::device::acpi_pm::{
    PM_TIMER, PM1A_CONTROL, PM1A_EVENT, SCI_IRQ, SLP_TYP_OFF as S5_SLEEP_TYPE,
};
pub use crate::device::cmos::{CENTURY as CMOS_CENTURY, INDEX as CMOS_PORT, IRQ as CMOS_IRQ};
pub use crate::device::i8042::{COMMAND as KEYBOARD_COMMAND_PORT, RESET as KEYBOARD_RESET};
pub use crate::device::pc::{PVPANIC as PVPANIC_PORT, RESET_CONTROL as RESET_PORT, RESET_VALUE};
pub use crate::device::ports::{COM1 as COM1_PORT, COM1_IRQ};

/// What the platform has beside CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// No PIC, PIT, RTC or ACPI fixed hardware: the FADT's HW_REDUCED_ACPI. The guest leaves the
    /// legacy devices alone, and starts the sooner.
    Bare,
    /// A PIC pair, a PIT, an I/O APIC, a CMOS clock, a serial port with its interrupt and the PM
    /// registers of ACPI.
    Pc,
}

/// Where the I/O APIC is.
pub const IO_APIC_GPA: u32 = 0xfec0_0000;
/// Its ID. KVM's reads as 0 until the guest writes it, whatever IDs the CPUs have.
pub const IO_APIC_ID: u8 = 0;
/// The pin of it that the PIT's interrupt, ISA IRQ 0, arrives at.
pub const PIT_GSI: u8 = 2;
/// Where local APICs answer after reset.
pub const LOCAL_APIC_GPA: u32 = 0xfee0_0000;
