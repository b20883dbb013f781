//! The registers the boot processor starts with, by boot protocol.
//!
//! Linux: the kernel's `Documentation/arch/x86/boot.rst`, "64-bit Boot Protocol". Multiboot:
//! "Multiboot Specification version 0.6.96", 3.2 "Machine state". PVH: [`super::pvh_registers`].

use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::pvh_registers::{
    BUSY_TSS_32, CODE_EXECUTE_READ, CR0_EXTENSION_TYPE, CR0_PROTECTED, DATA_READ_WRITE,
    RFLAGS_RESERVED, flat, pvh_regs, set_data_segments, set_pvh_sregs,
};
use super::{Entry, layout};

const CR0_PAGING: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LONG_MODE_ENABLE: u64 = 1 << 8;
const EFER_LONG_MODE_ACTIVE: u64 = 1 << 10;
/// What EAX holds for a multiboot image.
const MULTIBOOT_MAGIC: u64 = 0x2bad_b002;

/// Flat descriptors, "accessed" as loading them makes them.
const CODE_64: u64 = 0x00af_9b00_0000_ffff;
const CODE_32: u64 = 0x00cf_9b00_0000_ffff;
const DATA: u64 = 0x00cf_9300_0000_ffff;
/// Linux's `__BOOT_CS` and `__BOOT_DS`.
const LINUX_CODE: u16 = 0x10;
const LINUX_DATA: u16 = 0x18;
const LINUX_GDT: [u64; 4] = [0, 0, CODE_64, DATA];
/// Those of QEMU's loader; the specification leaves selectors and GDT open.
const MULTIBOOT_CODE: u16 = 0x8;
const MULTIBOOT_DATA: u16 = 0x10;
const MULTIBOOT_GDT: [u64; 4] = [0, CODE_32, DATA, 0];

/// Page table entry: present, writable.
const TABLE: u64 = 0x3;
/// The same for a page of 2 MiB.
const LARGE_PAGE: u64 = 0x83;
const ENTRIES: u64 = 512;

/// Sets the boot processor's mode for `entry` and returns its general registers. `sregs` comes
/// from `KVM_GET_SREGS`; the local APIC's base in it stays. Interrupts are off.
pub fn start(entry: Entry, sregs: &mut kvm_sregs) -> kvm_regs {
    match entry {
        Entry::Pvh { entry, start_info } => {
            set_pvh_sregs(sregs);
            pvh_regs(entry, u32::try_from(start_info).unwrap_or(u32::MAX))
        }
        Entry::Linux64 { entry, boot_params } => {
            set_long_mode(sregs);
            kvm_regs {
                rip: entry,
                rsi: boot_params,
                rflags: RFLAGS_RESERVED,
                ..Default::default()
            }
        }
        Entry::Multiboot { entry, info } => {
            set_multiboot_sregs(sregs);
            kvm_regs {
                rip: entry.into(),
                rax: MULTIBOOT_MAGIC,
                rbx: info.into(),
                rflags: RFLAGS_RESERVED,
                ..Default::default()
            }
        }
    }
}

/// Writes the tables that the registers of `entry` point to.
///
/// # Errors
/// [`GuestMemoryError`] where memory does not reach so far.
pub fn write_tables(entry: Entry, memory: &GuestMemoryMmap) -> Result<(), GuestMemoryError> {
    match entry {
        // The guest of PVH brings its own.
        Entry::Pvh { .. } => Ok(()),
        Entry::Linux64 { .. } => {
            write_words(memory, layout::GDT, LINUX_GDT)?;
            write_page_tables(memory)
        }
        Entry::Multiboot { .. } => write_words(memory, layout::GDT, MULTIBOOT_GDT),
    }
}

/// Identity tables of the first 4 GiB: kernel, zero page and command line are in them.
fn write_page_tables(memory: &GuestMemoryMmap) -> Result<(), GuestMemoryError> {
    const PAGE: u64 = 0x1000;
    let (pdpt, directories) = (layout::PAGE_TABLES + PAGE, layout::PAGE_TABLES + 2 * PAGE);
    write_words(memory, layout::PAGE_TABLES, [pdpt | TABLE])?;
    write_words(
        memory,
        pdpt,
        (0..4).map(|index| (directories + index * PAGE) | TABLE),
    )?;
    write_words(
        memory,
        directories,
        (0..4 * ENTRIES).map(|index| index << 21 | LARGE_PAGE),
    )
}

fn write_words(
    memory: &GuestMemoryMmap,
    gpa: u64,
    words: impl IntoIterator<Item = u64>,
) -> Result<(), GuestMemoryError> {
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    memory.write_slice(&bytes, GuestAddress(gpa))
}

fn set_long_mode(sregs: &mut kvm_sregs) {
    sregs.cr0 = CR0_PROTECTED | CR0_EXTENSION_TYPE | CR0_PAGING;
    sregs.cr3 = layout::PAGE_TABLES;
    sregs.cr4 = CR4_PAE;
    sregs.efer = EFER_LONG_MODE_ENABLE | EFER_LONG_MODE_ACTIVE;
    sregs.cs = kvm_segment {
        l: 1,
        db: 0,
        ..flat(LINUX_CODE, CODE_EXECUTE_READ)
    };
    set_data_segments(sregs, flat(LINUX_DATA, DATA_READ_WRITE));
    set_tables(sregs);
}

fn set_multiboot_sregs(sregs: &mut kvm_sregs) {
    sregs.cr0 = CR0_PROTECTED | CR0_EXTENSION_TYPE;
    sregs.cr3 = 0;
    sregs.cr4 = 0;
    sregs.efer = 0;
    sregs.cs = flat(MULTIBOOT_CODE, CODE_EXECUTE_READ);
    set_data_segments(sregs, flat(MULTIBOOT_DATA, DATA_READ_WRITE));
    set_tables(sregs);
}

/// The GDT in memory, no IDT, and a task register that VMX takes.
fn set_tables(sregs: &mut kvm_sregs) {
    sregs.tr = kvm_segment {
        limit: 0x67,
        type_: BUSY_TSS_32,
        present: 1,
        ..Default::default()
    };
    sregs.ldt = kvm_segment {
        unusable: 1,
        ..Default::default()
    };
    sregs.gdt = kvm_dtable {
        base: layout::GDT,
        limit: 4 * 8 - 1,
        padding: [0; 3],
    };
    sregs.idt = kvm_dtable::default();
}

#[cfg(test)]
#[path = "registers_test.rs"]
mod tests;
