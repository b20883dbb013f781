//! The MADT: CPUs, I/O APIC and how interrupts are wired.
//!
//! ACPI 6.5: 5.2.12. Written as one body, not by `acpi_tables`' `MADT`: that one boxes every entry,
//! knows no x2APIC entry and cannot set PCAT_COMPAT.

use acpi_tables::Aml;
use acpi_tables::madt::{EnabledStatus, IoApic, ProcessorLocalApic};

use super::acpi_description::Description;
use super::platform::{IO_APIC_GPA, IO_APIC_ID, LOCAL_APIC_GPA, PIT_GSI, Platform, SCI_IRQ};
use crate::cpu::topology::XAPIC_ID_MAX;

/// APIC IDs below this have a local APIC entry, the others an x2APIC entry (5.2.12.12): 255 is
/// the xAPIC broadcast.
const FIRST_X2APIC_ID: u32 = XAPIC_ID_MAX + 1;

/// The MADT without its header.
pub(super) fn madt(description: &Description<'_>) -> Vec<u8> {
    const PCAT_COMPAT: u32 = 1;
    let flags = match description.platform {
        Platform::Bare => 0,
        Platform::Pc => PCAT_COMPAT,
    };
    let mut body = Vec::with_capacity(64 + 16 * description.apic_ids.len());
    body.extend_from_slice(&LOCAL_APIC_GPA.to_le_bytes());
    body.extend_from_slice(&u32::to_le_bytes(flags));
    let mut has_x2apic_entries = false;
    for (uid, &apic_id) in (0u32..).zip(description.apic_ids) {
        match (u8::try_from(uid), u8::try_from(apic_id)) {
            (Ok(uid), Ok(id)) if apic_id < FIRST_X2APIC_ID => {
                ProcessorLocalApic::new(uid, id, EnabledStatus::Enabled).to_aml_bytes(&mut body);
            }
            _ => {
                has_x2apic_entries = true;
                body.extend_from_slice(&local_x2apic(uid, apic_id));
            }
        }
    }
    if description.platform == Platform::Pc {
        IoApic::new(IO_APIC_ID, IO_APIC_GPA, 0).to_aml_bytes(&mut body);
        body.extend_from_slice(&interrupt_override(0, PIT_GSI, CONFORMS));
        body.extend_from_slice(&interrupt_override(SCI_IRQ, SCI_IRQ, ACTIVE_HIGH_LEVEL));
        body.extend_from_slice(&LOCAL_APIC_NMI);
        if has_x2apic_entries {
            body.extend_from_slice(&LOCAL_X2APIC_NMI);
        }
    }
    body
}

/// MPS INTI flags (5.2.12.5): as the ISA bus has them, or given.
const CONFORMS: u16 = 0;
const ACTIVE_HIGH_LEVEL: u16 = 0xd;

/// LINT1 of every CPU takes the NMI (5.2.12.7): type, length, UID, flags, input.
const LOCAL_APIC_NMI: [u8; 6] = [4, 6, 0xff, 0, 0, 1];
/// The same for CPUs that have x2APIC entries (5.2.12.13): type, length, flags, UID, input, reserved.
const LOCAL_X2APIC_NMI: [u8; 12] = [10, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0];

/// Interrupt source override (5.2.12.5): type, length, ISA bus, source, GSI, flags.
fn interrupt_override(irq: u8, gsi: u8, flags: u16) -> [u8; 10] {
    let [low, high] = flags.to_le_bytes();
    [2, 10, 0, irq, gsi, 0, 0, 0, low, high]
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
