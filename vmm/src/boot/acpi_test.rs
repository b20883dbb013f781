use super::super::layout;
use super::*;
use proptest::prelude::*;

const BASE: u64 = layout::ACPI;

const BARE: Description<'_> = Description {
    apic_ids: &[0],
    platform: Platform::Bare,
};
const PC: Description<'_> = Description {
    apic_ids: &[0],
    platform: Platform::Pc,
};

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// The table at `gpa`, its signature, length, alignment and checksum checked.
fn table_at<'a>(tables: &'a AcpiTables, gpa: u64, signature: &[u8; 4]) -> &'a [u8] {
    let offset = usize::try_from(gpa - BASE).unwrap();
    let length = u32_at(&tables.bytes, offset + 4) as usize;
    let table = &tables.bytes[offset..offset + length];
    assert_eq!(&table[..4], signature);
    assert_eq!(sum(table), 0, "checksum of {signature:?}");
    assert_eq!(gpa % 16, 0);
    table
}

/// Walks from the RSDP and returns FADT and MADT.
fn walk(tables: &AcpiTables) -> (&[u8], &[u8]) {
    let start = usize::try_from(tables.rsdp - BASE).unwrap();
    let rsdp = &tables.bytes[start..start + 36];
    assert_eq!(&rsdp[..8], b"RSD PTR ");
    assert_eq!((sum(&rsdp[..20]), sum(rsdp)), (0, 0));
    let xsdt = table_at(tables, u64_at(rsdp, 24), b"XSDT");
    assert_eq!(xsdt.len(), 36 + 2 * 8);
    let fadt = table_at(tables, u64_at(xsdt, 36), b"FACP");
    let madt = table_at(tables, u64_at(xsdt, 44), b"APIC");
    // X_DSDT.
    table_at(tables, u64_at(fadt, 140), b"DSDT");
    (fadt, madt)
}

/// The MADT's entries, each as its type and bytes.
fn entries(madt: &[u8]) -> Vec<(u8, &[u8])> {
    let mut entries = vec![];
    let mut rest = &madt[44..];
    while let [kind, length, ..] = *rest {
        let (entry, after) = rest.split_at(length.into());
        entries.push((kind, entry));
        rest = after;
    }
    assert!(rest.is_empty());
    entries
}

/// UID and APIC ID of every CPU.
fn cpus(madt: &[u8]) -> Vec<(u32, u32)> {
    entries(madt)
        .into_iter()
        .filter_map(|(kind, entry)| match kind {
            0 => {
                assert_eq!(u32_at(entry, 4), 1, "enabled");
                Some((entry[2].into(), entry[3].into()))
            }
            9 => {
                assert_eq!(u32_at(entry, 8), 1, "enabled");
                Some((u32_at(entry, 12), u32_at(entry, 4)))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn the_smallest_machine_has_one_cpu_and_nothing_else() {
    let tables = build(&BARE, BASE);
    let (_, madt) = walk(&tables);
    assert_eq!((u32_at(madt, 36), u32_at(madt, 40)), (0xfee0_0000, 0));
    assert_eq!(entries(madt).len(), 1);
    assert_eq!(cpus(madt), [(0, 0)]);
}

#[test]
fn ids_from_255_up_have_x2apic_entries() {
    let apic_ids = [0, 254, 255, 256, 4095];
    let tables = build(
        &Description {
            apic_ids: &apic_ids,
            ..BARE
        },
        BASE,
    );
    let (_, madt) = walk(&tables);
    let kinds: Vec<u8> = entries(madt).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [0, 0, 9, 9, 9]);
    assert_eq!(
        cpus(madt),
        [(0, 0), (1, 254), (2, 255), (3, 256), (4, 4095)]
    );
}

#[test]
fn a_bare_machine_has_reduced_hardware_and_resets_by_the_keyboard_controller() {
    let tables = build(&BARE, BASE);
    let (fadt, madt) = walk(&tables);
    assert_eq!(u32_at(fadt, 112) >> 20 & 1, 1, "HW_REDUCED_ACPI");
    assert_eq!(u32_at(fadt, 112) >> 10 & 1, 1, "RESET_REG_SUP");
    // Generic address: system I/O, 8 bits wide, byte access.
    assert_eq!(&fadt[116..120], &[1, 8, 0, 1]);
    assert_eq!((u64_at(fadt, 120), fadt[128]), (0x64, 0xfe));
    assert_eq!(u64_at(fadt, 140) - BASE, 48, "nothing in front of the DSDT");
    assert!(entries(madt).iter().all(|(kind, _)| *kind == 0));
}

#[test]
fn a_pc_has_its_registers_where_the_devices_are() {
    let tables = build(&PC, BASE);
    let (fadt, _) = walk(&tables);
    let word = |offset: usize| u16::from_le_bytes([fadt[offset], fadt[offset + 1]]);
    assert_eq!(u32_at(fadt, 112) >> 20 & 1, 0, "HW_REDUCED_ACPI");
    assert_eq!((word(46), u32_at(fadt, 48)), (9, 0), "SCI, no SMI command");
    assert_eq!((u32_at(fadt, 56), fadt[88]), (0x600, 4), "PM1a event");
    assert_eq!((u32_at(fadt, 64), fadt[89]), (0x604, 2), "PM1a control");
    assert_eq!((u32_at(fadt, 76), fadt[91]), (0x608, 4), "PM timer");
    assert_eq!(u32_at(fadt, 112) >> 8 & 1, 0, "24 bits of it");
    assert_eq!((u64_at(fadt, 120), fadt[128]), (0xcf9, 6), "reset");
    assert_eq!(word(109), 1 | 1 << 2, "legacy devices, no VGA, no keyboard");
}

/// What software of ACPI 1.0 follows: 32-bit addresses only.
#[test]
fn a_pc_has_an_rsdt_with_the_same_tables_and_a_facs() {
    let tables = build(&PC, BASE);
    let (fadt, madt) = walk(&tables);
    let rsdt = table_at(&tables, u32_at(&tables.bytes, 16).into(), b"RSDT");
    let found = [(36, b"FACP"), (40, b"APIC")]
        .map(|(at, signature)| table_at(&tables, u32_at(rsdt, at).into(), signature));
    assert_eq!(found, [fadt, madt]);
    assert_eq!(u64::from(u32_at(fadt, 40)), u64_at(fadt, 140), "DSDT");
    let facs = u64::from(u32_at(fadt, 36));
    assert_eq!(facs % 64, 0);
    let offset = usize::try_from(facs - BASE).unwrap();
    assert_eq!(&tables.bytes[offset..offset + 4], b"FACS");
    assert_eq!(u32_at(&tables.bytes, offset + 4), 64);
}

#[test]
fn a_pc_has_its_interrupts_wired_as_kvm_wires_them() {
    for (apic_ids, last) in [(&[0, 1][..], 4), (&[0, 300], 10)] {
        let pc = Description { apic_ids, ..PC };
        let tables = build(&pc, BASE);
        let (_, madt) = walk(&tables);
        assert_eq!(u32_at(madt, 40), 1, "PCAT_COMPAT");
        let entries = entries(madt);
        let (_, io_apic) = entries[2];
        assert_eq!((io_apic[0], io_apic[2]), (1, 0));
        assert_eq!((u32_at(io_apic, 4), u32_at(io_apic, 8)), (0xfec0_0000, 0));
        assert_eq!(entries[3].1, [2, 10, 0, 0, 2, 0, 0, 0, 0, 0], "PIT");
        assert_eq!(entries[4].1, [2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0], "SCI");
        assert_eq!(entries[5].1, [4, 6, 0xff, 0, 0, 1], "NMI at LINT1");
        assert_eq!(entries.last().unwrap().0, last);
    }
}

#[test]
fn the_most_vcpus_fit_the_acpi_area() {
    let apic_ids: Vec<u32> = (0..4096).collect();
    for platform in [Platform::Bare, Platform::Pc] {
        let description = Description {
            apic_ids: &apic_ids,
            platform,
        };
        let bytes = build(&description, BASE).bytes.len() as u64;
        assert!(bytes <= layout::ACPI_BYTES, "{bytes} on {platform:?}");
    }
}

proptest! {
    #[test]
    fn every_cpu_reads_back(apic_ids in prop::collection::vec(0u32..5000, 1..300)) {
        let tables = build(&Description { apic_ids: &apic_ids, ..BARE }, BASE);
        let (_, madt) = walk(&tables);
        let expected: Vec<(u32, u32)> = (0..).zip(apic_ids).collect();
        prop_assert_eq!(cpus(madt), expected);
    }
}
