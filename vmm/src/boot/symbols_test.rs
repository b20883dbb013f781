use super::*;
use proptest::prelude::*;

const FUNCTION: u8 = 2;
const OBJECT: u8 = 1;
const UNTYPED: u8 = 0;

/// A 64-bit ELF that has nothing but these symbols: name, kind, address, size.
fn elf(symbols: &[(&str, u8, u64, u64)]) -> Vec<u8> {
    let mut names = vec![0];
    let mut table = vec![0; 24];
    for (name, kind, address, bytes) in symbols {
        table.extend(u32::try_from(names.len()).unwrap().to_le_bytes());
        // Global, in the section of number 1.
        table.extend([1 << 4 | kind, 0, 1, 0]);
        table.extend(address.to_le_bytes());
        table.extend(bytes.to_le_bytes());
        names.extend(name.as_bytes());
        names.push(0);
    }
    let table_at = 64_u64;
    let names_at = table_at + table.len() as u64;
    let sections_at = (names_at + names.len() as u64).next_multiple_of(8);
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for field in [0, 0, sections_at] {
        bytes.extend(u64::to_le_bytes(field));
    }
    bytes.extend([0; 4]);
    for field in [64, 56, 0, 64, 3, 2] {
        bytes.extend(u16::to_le_bytes(field));
    }
    bytes.extend(&table);
    bytes.extend(&names);
    bytes.resize(usize::try_from(sections_at).unwrap(), 0);
    bytes.extend([0; 64]);
    let mut section = |kind: u32, at: u64, length: usize, link: u32, entry: u64| {
        bytes.extend([0; 4]);
        bytes.extend(kind.to_le_bytes());
        for field in [0, 0, at, length as u64] {
            bytes.extend(u64::to_le_bytes(field));
        }
        bytes.extend(link.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(8_u64.to_le_bytes());
        bytes.extend(entry.to_le_bytes());
    };
    section(2, table_at, table.len(), 2, 24);
    section(3, names_at, names.len(), 0, 0);
    bytes
}

fn kernel() -> Symbols {
    Symbols::read(&elf(&[
        ("_text", UNTYPED, 0xffff_ffff_8100_0000, 0),
        ("kvm_kick_cpu", FUNCTION, 0xffff_ffff_8100_4000, 0x20),
        ("alias", UNTYPED, 0xffff_ffff_8100_4000, 0),
        ("data", OBJECT, 0xffff_ffff_8100_4010, 8),
        ("later", FUNCTION, 0xffff_ffff_8100_5000, 0x10),
        ("label", UNTYPED, 0xffff_ffff_8100_6000, 0),
    ]))
}

#[test]
fn a_function_is_found_by_name() {
    let symbol = Symbol {
        address: 0xffff_ffff_8100_4000,
        bytes: 0x20,
    };
    assert_eq!(kernel().find("kvm_kick_cpu"), Some(symbol));
    assert_eq!(kernel().find("kvm_kick"), None);
    assert_eq!(kernel().find("data"), None, "not code");
}

#[test]
fn an_address_is_named_by_the_function_it_is_in() {
    let kernel = kernel();
    let at = |offset: u64| kernel.at(0xffff_ffff_8100_0000 + offset);
    assert_eq!(at(0x4000), Some(("kvm_kick_cpu", 0)));
    assert_eq!(at(0x401f), Some(("kvm_kick_cpu", 0x1f)));
    assert_eq!(at(0x4020), Some(("alias", 0x20)), "a label has no end");
    assert_eq!(at(0x500f), Some(("later", 0xf)));
    assert_eq!(at(0x5010), None, "behind its end");
    assert_eq!(at(0x6123), Some(("label", 0x123)));
    assert_eq!(kernel.at(0x1000), None);
    assert_eq!(Symbols::default().at(0), None);
}

#[test]
fn what_has_no_names_has_none() {
    for bytes in [&b""[..], b"#!/bin/sh", b"\x7fELF\x02\x01\x01"] {
        assert_eq!(Symbols::read(bytes).find("main"), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn damaged_tables_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        address: u64,
    ) {
        let mut bytes = elf(&[("one", FUNCTION, 0x1000, 16), ("two", UNTYPED, 0x2000, 0)]);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        let symbols = Symbols::read(&bytes);
        let _ = symbols.at(address);
        let _ = symbols.find("one");
    }
}
