use super::*;

#[test]
fn the_id_is_8_bits_in_xapic_mode_and_32_in_x2apic_mode() {
    let mut lapic = LocalApic::new(0x12a, true);
    let mut data = [0; 4];
    lapic.mmio_read(MMIO_BASE + 0x20, &mut data);
    assert_eq!(u32::from_le_bytes(data), 0x2a00_0000);
    assert_eq!(lapic.msr_read(0x802), None);
    let base = lapic.msr_read(MSR_APIC_BASE).unwrap();
    assert_eq!(
        lapic.msr_write(MSR_APIC_BASE, base | APIC_BASE_X2APIC),
        Ok(None)
    );
    assert_eq!(lapic.msr_read(0x802), Some(0x12a));
    lapic.mmio_read(MMIO_BASE + 0x20, &mut data);
    assert_eq!(data, [0xff; 4]);
}

#[test]
fn init_and_sipi_come_out_of_the_icr_in_both_modes() {
    let mut lapic = LocalApic::new(0, true);
    assert_eq!(
        lapic.mmio_write(MMIO_BASE + 0x310, &0x0300_0000_u32.to_le_bytes()),
        None
    );
    let to_3 = Recipients::Destination(3);
    assert_eq!(
        lapic.mmio_write(MMIO_BASE + 0x300, &0x4500_u32.to_le_bytes()),
        Some(Effect::Init(to_3))
    );
    assert_eq!(
        lapic.mmio_write(MMIO_BASE + 0x300, &0x4608_u32.to_le_bytes()),
        Some(Effect::Sipi(to_3, 8))
    );
    let base = lapic.msr_read(MSR_APIC_BASE).unwrap();
    lapic
        .msr_write(MSR_APIC_BASE, base | APIC_BASE_X2APIC)
        .unwrap();
    assert_eq!(
        lapic.msr_write(0x830, 0x0000_012c_0000_4608),
        Ok(Some(Effect::Sipi(Recipients::Destination(300), 8)))
    );
    assert_eq!(
        lapic.msr_write(0x830, 0x000c_4500),
        Ok(Some(Effect::Init(Recipients::Others)))
    );
}

#[test]
fn init_deassert_does_nothing() {
    let mut lapic = LocalApic::new(0, true);
    assert_eq!(
        lapic.mmio_write(MMIO_BASE + 0x300, &0x8500_u32.to_le_bytes()),
        None
    );
}

#[test]
fn the_mode_changes_as_the_manual_allows() {
    let mut lapic = LocalApic::new(0, true);
    let base = lapic.msr_read(MSR_APIC_BASE).unwrap();
    assert_eq!(
        lapic.msr_write(MSR_APIC_BASE, base & !APIC_BASE_ENABLE | APIC_BASE_X2APIC),
        Err(Fault)
    );
    lapic
        .msr_write(MSR_APIC_BASE, base | APIC_BASE_X2APIC)
        .unwrap();
    assert_eq!(lapic.msr_write(MSR_APIC_BASE, base), Err(Fault));
    lapic.msr_write(MSR_APIC_BASE, 0).unwrap();
    assert_eq!(lapic.mode(), ApicMode::Disabled);
    assert_eq!(
        lapic.msr_write(MSR_APIC_BASE, base | APIC_BASE_X2APIC),
        Err(Fault)
    );
}

proptest::proptest! {
    #[test]
    fn no_access_harms(
        accesses in proptest::collection::vec(
            (proptest::bool::ANY, 0xfed0_0000_u64..0xff00_0000, 0_u32..0x1000, proptest::num::u64::ANY,
             proptest::collection::vec(proptest::num::u8::ANY, 0..9)),
            0..50,
        ),
    ) {
        let mut lapic = LocalApic::new(7, true);
        for (write, address, msr, value, mut data) in accesses {
            if write {
                lapic.mmio_write(address, &data);
                let _ = lapic.msr_write(msr, value);
            } else {
                lapic.mmio_read(address, &mut data);
                lapic.msr_read(msr);
            }
        }
        assert_eq!(lapic.id, 7);
    }
}

#[test]
fn logical_destinations_reach_nobody() {
    assert_eq!(command(0x4d00, 3), None);
    assert_eq!(command(0x4e08, 3), None);
    let others = Some(Effect::Init(Recipients::Others));
    assert_eq!(command(0xc_4d00, 3), others);
}
