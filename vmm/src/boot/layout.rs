//! Where boot data lies in guest memory, and what the guest is told of it.
//!
//! | from | to | what |
//! |---|---|---|
//! | `0x6000` | `0x6038` | `hvm_start_info` |
//! | `0x7000` | `0x8000` | its memory map |
//! | `0x20000` | `0x21000` | command line, NUL included |
//! | `0x9fc00` | `0x100000` | no RAM to the guest: the BIOS area of a PC |
//! | `0xe0000` | `0xf8000` | ACPI tables, the RSDP first |
//!
//! The guest owns the data below `0x9fc00` once it has read it.

use std::ops::Range;

/// `hvm_start_info`.
pub const START_INFO: u64 = 0x6000;
/// Memory map of [`START_INFO`].
pub const MEMORY_MAP: u64 = 0x7000;
/// Room for the memory map in bytes.
pub const MEMORY_MAP_BYTES: u64 = 0x1000;
/// Command line.
pub const COMMAND_LINE: u64 = 0x2_0000;
/// Room for the command line in bytes, with the NUL that ends it.
pub const COMMAND_LINE_BYTES: u64 = 0x1000;
/// End of low RAM: where a PC has its extended BIOS data area.
pub const LOW_RAM_END: u64 = 0x9_fc00;
/// ACPI tables. A guest without `hvm_start_info` looks for the RSDP from here on as well.
pub const ACPI: u64 = 0xe_0000;
/// Room for the ACPI tables in bytes: those of 4096 vCPUs take 62 KiB. It ends well below 1 MiB,
/// where linkers put an image's file headers when its code is linked at 1 MiB.
pub const ACPI_BYTES: u64 = 0x1_8000;
/// RAM goes on here.
pub const HIGH_RAM: u64 = 0x10_0000;

/// What is written before the guest starts; no ELF segment may lie in it.
pub const BOOT_DATA: [(Range<u64>, &str); 4] = [
    (START_INFO..START_INFO + 0x1000, "the PVH start info"),
    (MEMORY_MAP..MEMORY_MAP + MEMORY_MAP_BYTES, "the memory map"),
    (
        COMMAND_LINE..COMMAND_LINE + COMMAND_LINE_BYTES,
        "the command line",
    ),
    (ACPI..ACPI + ACPI_BYTES, "the ACPI tables"),
];
