use super::*;

fn on(platform: Platform, apic_ids: &[u32]) -> Vec<u8> {
    dsdt(&Description { apic_ids, platform })
}

fn count(aml: &[u8], part: &[u8]) -> usize {
    aml.windows(part.len())
        .filter(|window| *window == part)
        .count()
}

#[test]
fn a_bare_machine_has_an_empty_one() {
    assert!(on(Platform::Bare, &[0, 1]).is_empty());
}

/// Name, `_S5_`, package of 4: SLP_TYPa, SLP_TYPb, two reserved.
#[test]
fn s5_is_the_sleep_type_that_powers_off() {
    let aml = on(Platform::Pc, &[0]);
    let s5 = b"\x08_S5_\x12\x08\x04\x0a\x05\x0a\x05\x00\x00";
    assert_eq!(&aml[..s5.len()], s5);
}

#[test]
fn every_cpu_has_a_device_up_to_the_256th() {
    for (cpus, devices) in [(1, 1), (4, 4), (300, 256)] {
        let ids: Vec<u32> = (0..cpus).collect();
        let aml = on(Platform::Pc, &ids);
        assert_eq!(count(&aml, b"ACPI0007"), devices);
        assert_eq!(count(&aml, b"C0FF"), usize::from(cpus == 300));
    }
}

#[test]
fn devices_are_at_their_ports_with_their_interrupts() {
    let aml = on(Platform::Pc, &[0]);
    // I/O descriptor: decodes 16 bits, first, last, alignment, length.
    let com1 = b"\x47\x01\xf8\x03\xf8\x03\x01\x08";
    let clock = b"\x47\x01\x70\x00\x70\x00\x01\x02";
    let pvpanic = b"\x47\x01\x05\x05\x05\x05\x01\x01";
    for io in [com1, clock, pvpanic] {
        assert_eq!(count(&aml, io), 1, "{io:x?}");
    }
    // Extended interrupt descriptor: consumer, edge, active high, exclusive; one.
    assert_eq!(count(&aml, b"\x89\x06\x00\x03\x01\x04\0\0\0"), 1, "COM1");
    assert_eq!(count(&aml, b"\x89\x06\x00\x03\x01\x08\0\0\0"), 1, "RTC");
    assert_eq!(count(&aml, b"QEMU0001\0"), 1);
}
