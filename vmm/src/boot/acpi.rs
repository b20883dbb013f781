//! The ACPI tables that tell a guest its CPUs and, on a PC, its devices: RSDP, RSDT and XSDT, FADT,
//! FACS, MADT and DSDT.
//!
//! ACPI 6.5: 5.2.5 (RSDP), 5.2.7 (RSDT), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.10 (FACS).

use acpi_tables::Aml;
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;

pub use super::acpi_description::Description;
use super::acpi_dsdt::dsdt;
use super::acpi_madt::madt;
use super::field::low_word;
use super::platform::{
    CMOS_CENTURY, KEYBOARD_COMMAND_PORT, KEYBOARD_RESET, PM_TIMER, PM1A_CONTROL, PM1A_EVENT,
    Platform, RESET_PORT, RESET_VALUE, SCI_IRQ,
};

const OEM_ID: [u8; 6] = *b"VMM   ";
const OEM_TABLE_ID: [u8; 8] = *b"VMM     ";
const OEM_REVISION: u32 = 1;

/// Length of the header all system description tables share.
const HEADER_BYTES: u32 = 36;

/// The tables, ready to be copied to guest memory.
#[derive(Clone, Debug)]
pub struct AcpiTables {
    /// To be placed at the address they were built for.
    pub bytes: Vec<u8>,
    /// Guest-physical address of the RSDP.
    pub rsdp: u64,
}

/// Builds the tables for `base`, which is aligned to 64 bytes as the FACS has to be.
pub fn build(description: &Description<'_>, base: u64) -> AcpiTables {
    let mut bytes = Vec::with_capacity(1024 + 16 * description.apic_ids.len());
    // The RSDP points at the XSDT and so is written last, into room kept for it.
    bytes.resize(Rsdp::len(), 0);

    // A PC has what software of ACPI 1.0 looks for.
    let facs = match description.platform {
        Platform::Bare => 0,
        Platform::Pc => {
            bytes.resize(bytes.len().next_multiple_of(FACS_BYTES), 0);
            place(&mut bytes, base, &Facs)
        }
    };
    let aml = dsdt(description);
    let dsdt = place(&mut bytes, base, &table(*b"DSDT", 2, &aml));
    let fadt = place(&mut bytes, base, &fadt(description.platform, dsdt, facs));
    let madt = place(&mut bytes, base, &table(*b"APIC", 5, &madt(description)));
    let tables = [fadt, madt];
    let rsdt = match description.platform {
        Platform::Bare => 0,
        Platform::Pc => {
            let entries: Vec<u8> = tables.into_iter().flat_map(low_word).collect();
            place(&mut bytes, base, &table(*b"RSDT", 1, &entries))
        }
    };
    let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    for table in tables {
        xsdt.add_entry(table);
    }
    let xsdt = place(&mut bytes, base, &xsdt);

    let rsdp = rsdp(rsdt, xsdt);
    bytes[..rsdp.len()].copy_from_slice(&rsdp);
    AcpiTables { bytes, rsdp: base }
}

/// The RSDP. `acpi_tables`' own knows no RSDT, so that is put in afterwards.
fn rsdp(rsdt: u64, xsdt: u64) -> Vec<u8> {
    const CHECKSUM_AT: usize = 8;
    const RSDT_AT: usize = 16;
    /// What revision 1 has, and the first checksum covers.
    const FIRST_BYTES: usize = 20;
    const EXTENDED_CHECKSUM_AT: usize = 32;
    let mut rsdp = Vec::with_capacity(Rsdp::len());
    Rsdp::new(OEM_ID, xsdt).to_aml_bytes(&mut rsdp);
    rsdp[RSDT_AT..RSDT_AT + 4].copy_from_slice(&low_word(rsdt));
    for (at, end) in [
        (CHECKSUM_AT, FIRST_BYTES),
        (EXTENDED_CHECKSUM_AT, Rsdp::len()),
    ] {
        rsdp[at] = 0;
        let sum = rsdp[..end]
            .iter()
            .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        rsdp[at] = sum.wrapping_neg();
    }
    rsdp
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

/// Size and alignment of the FACS.
const FACS_BYTES: usize = 64;

/// The FACS, which says that nothing of it is used.
struct Facs;

impl Aml for Facs {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        const VERSION_AT: usize = 32;
        let mut facs = [0; FACS_BYTES];
        facs[..4].copy_from_slice(b"FACS");
        facs[4..8].copy_from_slice(&64_u32.to_le_bytes());
        facs[VERSION_AT] = 2;
        sink.vec(&facs);
    }
}

/// IAPC_BOOT_ARCH (5.2.9.3). No keyboard controller on either platform: nothing is plugged into it,
/// and a guest that looks for keyboards there waits long. Its reset works for one that knows it.
mod boot_arch {
    pub(super) const LEGACY_DEVICES: u16 = 1 << 0;
    pub(super) const VGA_NOT_PRESENT: u16 = 1 << 2;
    pub(super) const CMOS_RTC_NOT_PRESENT: u16 = 1 << 5;
}

fn fadt(platform: Platform, dsdt: u64, facs: u64) -> impl Aml + use<> {
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        .flag(Flags::Headless)
        .flag(Flags::ResetRegSup);
    let (port, value) = match platform {
        Platform::Bare => {
            let boot_arch = boot_arch::VGA_NOT_PRESENT | boot_arch::CMOS_RTC_NOT_PRESENT;
            fadt.iapc_boot_arch = boot_arch.into();
            fadt = fadt.flag(Flags::HwReducedAcpi);
            (KEYBOARD_COMMAND_PORT, KEYBOARD_RESET)
        }
        Platform::Pc => {
            fadt = pc_registers(fadt.flag(Flags::FixRtc), dsdt, facs);
            (RESET_PORT, RESET_VALUE)
        }
    };
    fadt.reset_value = value;
    fadt.reset_reg = GAS::new(
        AddressSpace::SystemIo,
        8,
        0,
        AccessSize::ByteAccess,
        port.into(),
    );
    fadt.finalize()
}

/// The fixed hardware of a PC. There is no SMI command port, so ACPI is always on.
fn pc_registers(mut fadt: FADTBuilder, dsdt: u64, facs: u64) -> FADTBuilder {
    let boot_arch = boot_arch::LEGACY_DEVICES | boot_arch::VGA_NOT_PRESENT;
    fadt.iapc_boot_arch = boot_arch.into();
    fadt.firmware_ctrl = u32::from_le_bytes(low_word(facs)).into();
    fadt.dsdt = u32::from_le_bytes(low_word(dsdt)).into();
    fadt.sci_int = u16::from(SCI_IRQ).into();
    fadt.pm1a_evt_blk = u32::from(PM1A_EVENT).into();
    fadt.pm1_evt_len = 4;
    fadt.pm1a_cnt_blk = u32::from(PM1A_CONTROL).into();
    fadt.pm1_cnt_len = 2;
    fadt.pm_tmr_blk = u32::from(PM_TIMER).into();
    fadt.pm_tmr_len = 4;
    // 5.2.9: latencies above these say that there is no C2 and no C3.
    fadt.p_lvl2_lat = 101.into();
    fadt.p_lvl3_lat = 1001.into();
    fadt.century = CMOS_CENTURY;
    fadt
}

#[cfg(test)]
#[path = "acpi_test.rs"]
mod tests;
