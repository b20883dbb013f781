//! The ACPI tables that tell a guest its CPUs: RSDP, XSDT, FADT, MADT and an empty DSDT.
//!
//! ACPI 6.5: 5.2.5 (RSDP), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.11.1 (DSDT), 5.2.12 (MADT).

use acpi_tables::Aml;
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{EnabledStatus, IoApic, ProcessorLocalApic};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;

use crate::cpu::topology::XAPIC_ID_MAX;

const OEM_ID: [u8; 6] = *b"VMM   ";
const OEM_TABLE_ID: [u8; 8] = *b"VMM     ";
const OEM_REVISION: u32 = 1;

/// Length of the header all system description tables share.
const HEADER_BYTES: u32 = 36;

/// Where local APICs answer after reset.
const LOCAL_APIC_GPA: u32 = 0xfee0_0000;

/// APIC IDs below this have a local APIC entry, the others an x2APIC entry (5.2.12.12): 255 is
/// the xAPIC broadcast.
const FIRST_X2APIC_ID: u32 = XAPIC_ID_MAX + 1;

/// What the platform has beside CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// No PIC, PIT, RTC or ACPI fixed hardware: the FADT's HW_REDUCED_ACPI. The guest leaves the
    /// legacy devices alone.
    HardwareReduced,
    /// A PIC pair and a PIT (MADT's PCAT_COMPAT).
    Pc,
}

/// The MADT's entry for an I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApicEntry {
    /// Its ID.
    pub id: u8,
    /// Its address.
    pub gpa: u32,
    /// The first global system interrupt it serves.
    pub gsi_base: u32,
}

/// The FADT's reset register: a write of `value` to I/O port `port` resets the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetRegister {
    /// 8-bit I/O port.
    pub port: u16,
    /// What to write.
    pub value: u8,
}

/// What the tables describe.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// x2APIC IDs in order of vCPU index, which is the processor UID; the boot processor first.
    pub apic_ids: &'a [u32],
    /// Beside the CPUs.
    pub platform: Platform,
    /// The I/O APIC, if there is one.
    pub io_apic: Option<IoApicEntry>,
    /// The reset register, if there is one.
    pub reset: Option<ResetRegister>,
}

/// The tables, ready to be copied to guest memory.
#[derive(Clone, Debug)]
pub struct AcpiTables {
    /// To be placed at the address they were built for.
    pub bytes: Vec<u8>,
    /// Guest-physical address of the RSDP.
    pub rsdp: u64,
}

/// Builds the tables for `base`, which is aligned to 16 bytes as the RSDP has to be.
pub fn build(description: &Description<'_>, base: u64) -> AcpiTables {
    let mut bytes = Vec::with_capacity(1024 + 16 * description.apic_ids.len());
    // The RSDP points at the XSDT and so is written last, into room kept for it.
    bytes.resize(Rsdp::len(), 0);

    let dsdt = place(&mut bytes, base, &table(*b"DSDT", 2, &[]));
    let fadt = place(&mut bytes, base, &fadt(description, dsdt));
    let madt = place(&mut bytes, base, &madt(description));
    let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = place(&mut bytes, base, &xsdt);

    let mut rsdp = Vec::with_capacity(Rsdp::len());
    Rsdp::new(OEM_ID, xsdt).to_aml_bytes(&mut rsdp);
    bytes[..rsdp.len()].copy_from_slice(&rsdp);
    AcpiTables { bytes, rsdp: base }
}

/// Appends `table` on the next 16-byte boundary and returns its address.
fn place(bytes: &mut Vec<u8>, base: u64, table: &dyn Aml) -> u64 {
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let gpa = base + bytes.len() as u64;
    table.to_aml_bytes(bytes);
    gpa
}

fn table(signature: [u8; 4], revision: u8, body: &[u8]) -> Sdt {
    let mut table = Sdt::new(
        signature,
        HEADER_BYTES,
        revision,
        OEM_ID,
        OEM_TABLE_ID,
        OEM_REVISION,
    );
    table.append_slice(body);
    table
}

fn fadt(description: &Description<'_>, dsdt: u64) -> impl Aml + use<> {
    /// IAPC_BOOT_ARCH (5.2.9.3): do not probe for VGA, and there is no CMOS clock.
    const VGA_NOT_PRESENT: u16 = 1 << 2;
    const CMOS_RTC_NOT_PRESENT: u16 = 1 << 5;

    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        .flag(Flags::Headless);
    fadt.iapc_boot_arch = (VGA_NOT_PRESENT | CMOS_RTC_NOT_PRESENT).into();
    if description.platform == Platform::HardwareReduced {
        fadt = fadt.flag(Flags::HwReducedAcpi);
    }
    if let Some(reset) = description.reset {
        fadt = fadt.flag(Flags::ResetRegSup);
        fadt.reset_value = reset.value;
        fadt.reset_reg = GAS::new(
            AddressSpace::SystemIo,
            8,
            0,
            AccessSize::ByteAccess,
            reset.port.into(),
        );
    }
    fadt.finalize()
}

/// The MADT. Written as one body, not by `acpi_tables`' `MADT`: that one boxes every entry, knows
/// no x2APIC entry and cannot set PCAT_COMPAT.
fn madt(description: &Description<'_>) -> Sdt {
    const REVISION: u8 = 5;
    const PCAT_COMPAT: u32 = 1;

    let flags = match description.platform {
        Platform::HardwareReduced => 0,
        Platform::Pc => PCAT_COMPAT,
    };
    let mut body = Vec::with_capacity(32 + 16 * description.apic_ids.len());
    body.extend_from_slice(&LOCAL_APIC_GPA.to_le_bytes());
    body.extend_from_slice(&u32::to_le_bytes(flags));
    for (uid, &apic_id) in (0u32..).zip(description.apic_ids) {
        match (u8::try_from(uid), u8::try_from(apic_id)) {
            (Ok(uid), Ok(id)) if apic_id < FIRST_X2APIC_ID => {
                ProcessorLocalApic::new(uid, id, EnabledStatus::Enabled).to_aml_bytes(&mut body);
            }
            _ => body.extend_from_slice(&local_x2apic(uid, apic_id)),
        }
    }
    if let Some(io_apic) = description.io_apic {
        IoApic::new(io_apic.id, io_apic.gpa, io_apic.gsi_base).to_aml_bytes(&mut body);
    }
    table(*b"APIC", REVISION, &body)
}

/// Processor local x2APIC structure (5.2.12.12): type, length, reserved, ID, flags, UID.
fn local_x2apic(uid: u32, apic_id: u32) -> [u8; 16] {
    const TYPE: u8 = 9;
    const ENABLED: u32 = 1;
    let mut entry = [0; 16];
    entry[..2].copy_from_slice(&[TYPE, 16]);
    entry[4..8].copy_from_slice(&apic_id.to_le_bytes());
    entry[8..12].copy_from_slice(&ENABLED.to_le_bytes());
    entry[12..].copy_from_slice(&uid.to_le_bytes());
    entry
}

#[cfg(test)]
#[path = "acpi_test.rs"]
mod tests;
