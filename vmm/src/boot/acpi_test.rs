use super::super::layout;
use super::*;
use proptest::prelude::*;

const BASE: u64 = layout::ACPI;

const REDUCED: Description<'_> = Description {
    apic_ids: &[0],
    platform: Platform::HardwareReduced,
    io_apic: None,
    reset: None,
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
    let dsdt = table_at(tables, u64_at(fadt, 140), b"DSDT");
    assert_eq!(dsdt.len(), 36);
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
    let tables = build(&REDUCED, BASE);
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
            ..REDUCED
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
fn a_pc_has_its_pic_and_the_io_apic_that_was_asked_for() {
    let io_apic = IoApicEntry {
        id: 7,
        gpa: 0xfec0_0000,
        gsi_base: 24,
    };
    let pc = Description {
        platform: Platform::Pc,
        io_apic: Some(io_apic),
        ..REDUCED
    };
    let tables = build(&pc, BASE);
    let (fadt, madt) = walk(&tables);
    assert_eq!(u32_at(madt, 40), 1, "PCAT_COMPAT");
    assert_eq!(u32_at(fadt, 112) >> 20 & 1, 0, "HW_REDUCED_ACPI");
    let (kind, entry) = entries(madt)[1];
    assert_eq!((kind, entry[2]), (1, 7));
    assert_eq!((u32_at(entry, 4), u32_at(entry, 8)), (0xfec0_0000, 24));
}

#[test]
fn the_reset_register_is_there_when_asked_for() {
    let tables = build(&REDUCED, BASE);
    let flags = u32_at(walk(&tables).0, 112);
    assert_eq!((flags >> 20 & 1, flags >> 10 & 1), (1, 0));

    let reset = ResetRegister {
        port: 0x64,
        value: 0xfe,
    };
    let with_reset = Description {
        reset: Some(reset),
        ..REDUCED
    };
    let tables = build(&with_reset, BASE);
    let (fadt, _) = walk(&tables);
    assert_eq!(u32_at(fadt, 112) >> 10 & 1, 1);
    // Generic address: system I/O, 8 bits wide, byte access.
    assert_eq!(&fadt[116..120], &[1, 8, 0, 1]);
    assert_eq!((u64_at(fadt, 120), fadt[128]), (0x64, 0xfe));
}

#[test]
fn the_most_vcpus_fit_the_acpi_area() {
    let apic_ids: Vec<u32> = (0..4096).collect();
    let tables = build(
        &Description {
            apic_ids: &apic_ids,
            ..REDUCED
        },
        BASE,
    );
    assert!(tables.bytes.len() as u64 <= layout::ACPI_BYTES);
}

proptest! {
    #[test]
    fn every_cpu_reads_back(apic_ids in prop::collection::vec(0u32..5000, 1..300)) {
        let tables = build(&Description { apic_ids: &apic_ids, ..REDUCED }, BASE);
        let (_, madt) = walk(&tables);
        let expected: Vec<(u32, u32)> = (0..).zip(apic_ids).collect();
        prop_assert_eq!(cpus(madt), expected);
    }
}
