//! Where boot data lies in guest memory, and what the guest is told of it.
//!
//! | from | to | what | who gets it |
//! |---|---|---|---|
//! | `0x400` | `0x500` | BIOS data area: COM1, EBDA, base memory | PC |
//! | `0x5000` | `0x5020` | GDT | Linux's 64-bit entry, multiboot |
//! | `0x6000` | `0x6038` | `hvm_start_info` | PVH |
//! | `0x6100` | `0x7000` | its module list | PVH |
//! | `0x7000` | `0x8000` | its memory map | PVH |
//! | `0x8000` | `0x9000` | zero page (`boot_params`) | Linux's 64-bit entry |
//! | `0x9000` | `0xf000` | page tables: the first 4 GiB, identity | Linux's 64-bit entry |
//! | `0x9000` | `0x9500` | memory map | multiboot |
//! | `0x9500` | `0x9558` | information block | multiboot |
//! | `0xa000` | `0xb000` | module list | multiboot |
//! | `0x20000` | `0x30000` | command line, NUL included | all |
//! | `0x30000` | `0x38000` | the modules' command lines | PVH, multiboot |
//! | `0x9fc00` | `0x100000` | no RAM to the guest: the BIOS area of a PC | all |
//! | `0x9fc00` | `0xa0000` | EBDA with the pointer to the MP table | PC |
//! | `0xe0000` | `0xf8000` | ACPI tables, the RSDP first | all |
//! | `0xf8000` | `0xfa000` | MP table | PC |
//!
//! The guest owns the data below `0x9fc00` once it has read it. The multiboot addresses are those
//! of QEMU's loader; where an image lies there, all three move together ([`MULTIBOOT_PLACES`]).

use std::ops::Range;

/// BIOS data area.
pub const BIOS_DATA: u64 = 0x400;
/// GDT.
pub const GDT: u64 = 0x5000;
/// `hvm_start_info`.
pub const START_INFO: u64 = 0x6000;
/// Module list of [`START_INFO`].
pub const PVH_MODULES: u64 = 0x6100;
/// Memory map of [`START_INFO`].
pub const MEMORY_MAP: u64 = 0x7000;
/// Room for the memory map in bytes.
pub const MEMORY_MAP_BYTES: u64 = 0x1000;
/// Linux's `boot_params`.
pub const ZERO_PAGE: u64 = 0x8000;
/// Page tables of Linux's 64-bit entry.
pub const PAGE_TABLES: u64 = 0x9000;
/// Their size: one PML4, one PDPT, four page directories.
pub const PAGE_TABLES_BYTES: u64 = 6 * 0x1000;
/// Where multiboot's memory map, information block and module list may be: in the first of these
/// that the image leaves free, or else behind the image.
pub const MULTIBOOT_PLACES: [u64; 5] = [0x9000, 0x6000, 0x1_0000, 0x3_8000, 0x9_0000];
/// Room for all three in bytes.
pub const MULTIBOOT_BYTES: u64 = 0x2000;
/// The information block, from the memory map in front.
pub const MULTIBOOT_INFO: u64 = 0x500;
/// The module list, from the memory map.
pub const MULTIBOOT_MODULES: u64 = 0x1000;
/// Modules that fit either list.
pub const MODULES_MAX: usize = 100;
/// Command line.
pub const COMMAND_LINE: u64 = 0x2_0000;
/// Room for the command line in bytes, with the NUL that ends it.
pub const COMMAND_LINE_BYTES: u64 = 0x1_0000;
/// The modules' command lines.
pub const MODULE_STRINGS: u64 = 0x3_0000;
/// Room for them in bytes.
pub const MODULE_STRINGS_BYTES: u64 = 0x8000;
/// End of low RAM: where a PC has its extended BIOS data area, which is 1 KiB.
pub const LOW_RAM_END: u64 = 0x9_fc00;
/// The end of the extended BIOS data area.
pub const EBDA_END: u64 = 0xa_0000;
/// ACPI tables. A guest without `hvm_start_info` looks for the RSDP from here on as well.
pub const ACPI: u64 = 0xe_0000;
/// Room for the ACPI tables in bytes: those of 4096 vCPUs take 76 KiB. It ends well below 1 MiB,
/// where linkers put an image's file headers when its code is linked at 1 MiB.
pub const ACPI_BYTES: u64 = 0x1_8000;
/// MP table.
pub const MP_TABLE: u64 = 0xf_8000;
/// Room for it in bytes: 255 CPUs take 5.3 KiB.
pub const MP_TABLE_BYTES: u64 = 0x2000;
/// RAM goes on here.
pub const HIGH_RAM: u64 = 0x10_0000;

/// An area that is written before the guest starts, and what is in it.
pub type Area = (Range<u64>, &'static str);

const COMMAND_LINE_AREA: Area = (
    COMMAND_LINE..COMMAND_LINE + COMMAND_LINE_BYTES,
    "the command line",
);
const MODULE_STRINGS_AREA: Area = (
    MODULE_STRINGS..MODULE_STRINGS + MODULE_STRINGS_BYTES,
    "the modules' command lines",
);
const ACPI_AREA: Area = (ACPI..ACPI + ACPI_BYTES, "the ACPI tables");

/// What is written for a PVH guest; no segment of its image may lie in it.
pub const PVH_DATA: [Area; 5] = [
    (START_INFO..START_INFO + 0x1000, "the PVH start info"),
    (MEMORY_MAP..MEMORY_MAP + MEMORY_MAP_BYTES, "the memory map"),
    COMMAND_LINE_AREA,
    MODULE_STRINGS_AREA,
    ACPI_AREA,
];
/// What is written for Linux's 64-bit entry.
pub const LINUX_DATA: [Area; 5] = [
    (GDT..GDT + 0x1000, "the GDT"),
    (ZERO_PAGE..ZERO_PAGE + 0x1000, "the zero page"),
    (
        PAGE_TABLES..PAGE_TABLES + PAGE_TABLES_BYTES,
        "the page tables",
    ),
    COMMAND_LINE_AREA,
    ACPI_AREA,
];
/// What is written for a multiboot image, beside the information that makes way for it.
pub const MULTIBOOT_DATA: [Area; 4] = [
    (GDT..GDT + 0x1000, "the GDT"),
    COMMAND_LINE_AREA,
    MODULE_STRINGS_AREA,
    ACPI_AREA,
];
/// What is written for every guest of a PC as well.
pub const PC_DATA: [Area; 3] = [
    (BIOS_DATA..BIOS_DATA + 0x100, "the BIOS data area"),
    (LOW_RAM_END..EBDA_END, "the extended BIOS data area"),
    (MP_TABLE..MP_TABLE + MP_TABLE_BYTES, "the MP table"),
];
