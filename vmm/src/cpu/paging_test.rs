use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Tables in a map: entry address to entry.
#[derive(Default)]
struct Tables(HashMap<u64, u64>);

impl Tables {
    /// `linear` goes through tables at 0x1000, 0x2000, ... to `last` at `level`.
    fn to(linear: u64, levels: u32, level: u32, last: u64, flags: u64) -> Self {
        let mut tables = Self::default();
        let mut at = 0x1000;
        for now in (level..levels).rev() {
            let index = linear >> (12 + 9 * now) & 0x1ff;
            let entry = if now == level {
                last
            } else {
                (at + 0x1000) | flags
            };
            tables.0.insert(at + 8 * index, entry);
            at += 0x1000;
        }
        tables
    }

    fn walk(&self, levels: u32, linear: u64, access: Access, mode: Mode) -> Result<u64, NotMapped> {
        let root = 0x1000;
        LongModeTables { root, levels }
            .translate(linear, access, mode, |at| self.0.get(&at).copied())
    }
}

const ALL: u64 = PRESENT | WRITABLE | USER;

#[test]
fn pages_of_every_size_are_found() {
    let linear = 0x0000_7abc_d123_4567;
    for (levels, level, last, expected) in [
        (4, 0, 0xaa_b000, 0xaa_b567),
        (5, 0, 0xaa_b000, 0xaa_b567),
        (4, 1, 0x4020_0000 | LARGE, 0x4020_0000 | linear & 0x1f_ffff),
        (
            4,
            2,
            0x8000_0000 | LARGE,
            0x8000_0000 | linear & 0x3fff_ffff,
        ),
    ] {
        let tables = Tables::to(linear, levels, level, last | ALL, ALL);
        let found = tables.walk(levels, linear, Access::Write, Mode::User);
        assert_eq!(found, Ok(expected));
    }
}

#[test]
fn a_large_page_above_1_gib_is_none() {
    let tables = Tables::to(0, 4, 3, LARGE | ALL, ALL);
    assert_eq!(
        tables.walk(4, 0, Access::Read, Mode::Supervisor),
        Err(NotMapped)
    );
}

#[test]
fn every_level_has_to_allow_the_access() {
    let linear = 0x1234_5678;
    let walk = |last, flags, access, mode| {
        let tables = Tables::to(linear, 4, 0, 0x5000 | last, flags);
        tables.walk(4, linear, access, mode).is_ok()
    };
    for lacking in [PRESENT, WRITABLE, USER] {
        for (last, others) in [(ALL & !lacking, ALL), (ALL, ALL & !lacking)] {
            assert!(!walk(last, others, Access::Write, Mode::User));
            let reads = lacking == WRITABLE;
            assert_eq!(walk(last, others, Access::Read, Mode::User), reads);
            let writes = lacking == USER;
            assert_eq!(walk(last, others, Access::Write, Mode::Supervisor), writes);
        }
    }
}

#[test]
fn an_address_that_is_not_canonical_is_nowhere() {
    for (levels, linear) in [(4, 1 << 47), (4, !0 << 48), (5, 1 << 56), (4, 1 << 63)] {
        let tables = Tables::to(linear, levels, 0, 0x5000 | ALL, ALL);
        let found = tables.walk(levels, linear, Access::Read, Mode::Supervisor);
        assert_eq!(found, Err(NotMapped), "{linear:#x}");
    }
    let top = !0xfff;
    let tables = Tables::to(top, 4, 0, 0x5000 | ALL, ALL);
    assert_eq!(
        tables.walk(4, top, Access::Read, Mode::Supervisor),
        Ok(0x5000)
    );
}

proptest! {
    #[test]
    fn whatever_the_tables_hold_the_walk_ends(
        cr3: u64, cr4: u64, linear: u64, entries in prop::collection::vec(any::<u64>(), 1..6),
    ) {
        let sregs = kvm_sregs { cr3, cr4, ..kvm_sregs::default() };
        let reads = std::cell::Cell::new(0_usize);
        let read = |at: u64| {
            assert_eq!(at >> 52, 0);
            reads.set(reads.get() + 1);
            entries.get(reads.get() % entries.len()).copied()
        };
        let found = LongModeTables::new(&sregs).translate(linear, Access::Read, Mode::User, read);
        prop_assert!(reads.get() <= 5);
        prop_assert!(found.is_err() || found.unwrap() >> 52 == 0);
    }
}
