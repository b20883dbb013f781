use super::*;

const LINUX: Entry = Entry::Linux64 {
    entry: 0x100_0200,
    boot_params: 0x8000,
};
const MULTIBOOT: Entry = Entry::Multiboot {
    entry: 0x10_0020,
    info: 0x9500,
};
const PVH: Entry = Entry::Pvh {
    entry: 0x10_0040,
    start_info: 0x6000,
};

/// A state with a local APIC base and with bits set that have to go.
fn dirty() -> kvm_sregs {
    kvm_sregs {
        cr0: u64::MAX,
        cr3: 1,
        cr4: u64::MAX,
        efer: u64::MAX,
        apic_base: 0xfee0_0900,
        ..Default::default()
    }
}

fn started(entry: Entry) -> (kvm_sregs, kvm_regs) {
    let mut sregs = dirty();
    let regs = start(entry, &mut sregs);
    assert_eq!(sregs.apic_base, 0xfee0_0900);
    assert_eq!(regs.rflags, 2, "interrupts off");
    (sregs, regs)
}

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap()
}

fn u64_at(memory: &GuestMemoryMmap, gpa: u64) -> u64 {
    memory.read_obj(GuestAddress(gpa)).unwrap()
}

/// The descriptor that `selector` picks says what the segment register holds.
fn assert_described(memory: &GuestMemoryMmap, segment: &kvm_segment) {
    let descriptor = u64_at(memory, layout::GDT + u64::from(segment.selector));
    let flags = u64::from(segment.type_)
        | u64::from(segment.s) << 4
        | u64::from(segment.dpl) << 5
        | u64::from(segment.present) << 7
        | u64::from(segment.l) << 13
        | u64::from(segment.db) << 14
        | u64::from(segment.g) << 15;
    assert_eq!(descriptor >> 40 & 0xf0ff, flags, "{segment:x?}");
    assert_eq!((segment.base, segment.limit), (0, u32::MAX));
}

#[test]
fn a_linux_starts_in_long_mode_with_its_zero_page() {
    let (sregs, regs) = started(LINUX);
    assert_eq!((regs.rip, regs.rsi), (0x100_0200, 0x8000));
    assert_eq!(sregs.cr0, 1 << 31 | 1 << 4 | 1);
    assert_eq!((sregs.cr4, sregs.efer), (1 << 5, 1 << 10 | 1 << 8));
    assert_eq!((sregs.cs.selector, sregs.ds.selector), (0x10, 0x18));
    assert_eq!((sregs.cs.l, sregs.cs.db), (1, 0));
}

#[test]
fn a_multiboot_image_starts_as_its_specification_says() {
    let (sregs, regs) = started(MULTIBOOT);
    assert_eq!((regs.rip, regs.rax), (0x10_0020, 0x2bad_b002));
    assert_eq!(regs.rbx, 0x9500);
    assert_eq!((sregs.cr0, sregs.cr4, sregs.efer), (1 << 4 | 1, 0, 0));
    assert_eq!((sregs.cs.selector, sregs.ds.selector), (0x8, 0x10));
}

#[test]
fn segments_are_what_the_gdt_in_memory_says() {
    for entry in [LINUX, MULTIBOOT] {
        let (sregs, _) = started(entry);
        let memory = memory();
        write_tables(entry, &memory).unwrap();
        assert_eq!((sregs.gdt.base, sregs.gdt.limit), (layout::GDT, 31));
        for segment in [sregs.cs, sregs.ds, sregs.es, sregs.ss, sregs.fs, sregs.gs] {
            assert_described(&memory, &segment);
        }
    }
}

#[test]
fn a_pvh_guest_is_given_no_tables() {
    let memory = memory();
    write_tables(PVH, &memory).unwrap();
    assert_eq!(u64_at(&memory, layout::GDT + 8), 0);
    assert_eq!(started(PVH).0.gdt.limit, 0);
}

#[test]
fn the_page_tables_map_the_first_4_gib_onto_themselves() {
    let memory = memory();
    write_tables(LINUX, &memory).unwrap();
    for linear in [
        0_u64,
        0x8000,
        0x100_0200,
        0x3fff_ffff,
        0x4000_0000,
        0xffff_ffff,
    ] {
        let mut table = started(LINUX).0.cr3;
        for shift in [39, 30] {
            let entry = u64_at(&memory, table + 8 * (linear >> shift & 511));
            assert_eq!(entry & 0x83, 3, "{linear:#x} at level {shift}");
            table = entry & !0xfff;
        }
        let entry = u64_at(&memory, table + 8 * (linear >> 21 & 511));
        assert_eq!(entry, linear >> 21 << 21 | 0x83);
    }
    assert_eq!(
        u64_at(&memory, layout::PAGE_TABLES + 8),
        0,
        "beyond 512 GiB"
    );
    let end = layout::PAGE_TABLES + layout::PAGE_TABLES_BYTES;
    assert_eq!(u64_at(&memory, end), 0, "behind the tables");
    assert_ne!(u64_at(&memory, end - 8), 0);
}

#[test]
fn memory_that_ends_too_early_is_an_error() {
    let small = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0xa000)]).unwrap();
    assert!(write_tables(LINUX, &small).is_err());
}

#[test]
fn this_hosts_kvm_takes_all() {
    let Ok(kvm) = kvm_ioctls::Kvm::new() else {
        eprintln!("skipped: /dev/kvm cannot be opened");
        return;
    };
    let vm = kvm.create_vm().unwrap();
    let vcpu = vm.create_vcpu(0).unwrap();
    for entry in [LINUX, MULTIBOOT, PVH] {
        let mut sregs = vcpu.get_sregs().unwrap();
        let regs = start(entry, &mut sregs);
        vcpu.set_sregs(&sregs).unwrap();
        vcpu.set_regs(&regs).unwrap();
        assert_eq!(vcpu.get_regs().unwrap().rip, regs.rip);
    }
}
