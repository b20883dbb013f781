//! The DSDT: how to power off, and the devices that a guest would not look for by itself.
//!
//! ACPI 6.5: 7.4.2.6 (\_S5), 8.4 (processor devices), 6.1.5 (hardware IDs).

use acpi_tables::Aml;
use acpi_tables::aml::{
    Device, EISAName, IO, Interrupt, Name, Package, Path, ResourceTemplate, Scope, ZERO,
};

use super::acpi_description::Description;
use super::platform::{
    CMOS_IRQ, CMOS_PORT, COM1_IRQ, COM1_PORT, PVPANIC_PORT, Platform, S5_SLEEP_TYPE,
};

/// CPUs that have a device as well as their MADT entry, which is what makes them CPUs. More would
/// not fit beside the MADT of 4096, and every device costs a guest time.
const PROCESSOR_DEVICES_MAX: u32 = 256;

/// The DSDT without its header.
pub(super) fn dsdt(description: &Description<'_>) -> Vec<u8> {
    let mut aml = Vec::new();
    if description.platform == Platform::Bare {
        return aml;
    }
    let sleep = S5_SLEEP_TYPE;
    Name::new(
        "_S5_".into(),
        &Package::new(vec![&sleep, &sleep, &ZERO, &ZERO]),
    )
    .to_aml_bytes(&mut aml);

    let mut devices = Vec::new();
    for (uid, _) in (0..PROCESSOR_DEVICES_MAX).zip(description.apic_ids) {
        processor(uid)
            .into_iter()
            .for_each(|byte| devices.push(byte));
    }
    isa_device(
        &mut devices,
        "COM1",
        &EISAName::new("PNP0501"),
        COM1_PORT,
        8,
        Some(COM1_IRQ),
    );
    isa_device(
        &mut devices,
        "RTC_",
        &EISAName::new("PNP0B00"),
        CMOS_PORT,
        2,
        Some(CMOS_IRQ),
    );
    isa_device(&mut devices, "PEVT", &"QEMU0001", PVPANIC_PORT, 1, None);
    aml.extend_from_slice(&Scope::raw("_SB_".into(), devices));
    aml
}

fn processor(uid: u32) -> Vec<u8> {
    let mut aml = Vec::new();
    Device::new(
        Path::new(&format!("C{uid:03X}")),
        vec![
            &Name::new("_HID".into(), &"ACPI0007"),
            &Name::new("_UID".into(), &uid),
        ],
    )
    .to_aml_bytes(&mut aml);
    aml
}

/// Appends a device with `ports` I/O ports from `port` and, if it has one, an interrupt.
fn isa_device(
    aml: &mut Vec<u8>,
    name: &str,
    hardware_id: &dyn Aml,
    port: u16,
    ports: u8,
    irq: Option<u8>,
) {
    let io = IO::new(port, port, 1, ports);
    // Consumer, edge, active high, not shared: as ISA has it.
    let interrupt = irq.map(|irq| Interrupt::new(true, true, false, false, irq.into()));
    let mut resources: Vec<&dyn Aml> = vec![&io];
    resources.extend(interrupt.as_ref().map(|interrupt| interrupt as &dyn Aml));
    Device::new(
        name.into(),
        vec![
            &Name::new("_HID".into(), hardware_id),
            &Name::new("_CRS".into(), &ResourceTemplate::new(resources)),
        ],
    )
    .to_aml_bytes(aml);
}

#[cfg(test)]
#[path = "acpi_dsdt_test.rs"]
mod tests;
