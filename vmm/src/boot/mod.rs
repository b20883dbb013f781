//! What a guest finds when it starts: its image, its tables, its registers.

pub mod acpi;
mod acpi_description;
mod acpi_dsdt;
mod acpi_madt;
pub mod bios_area;
pub mod bzimage;
pub mod command_line;
pub mod elf;
mod elf_error;
mod elf_notes;
mod entry;
mod field;
pub mod image;
pub mod layout;
pub mod load;
pub mod memory_map;
pub mod module;
pub mod mp_table;
pub mod multiboot;
pub mod multiboot_info;
pub mod platform;
pub mod pvh_registers;
pub mod registers;
pub mod segment;
pub mod start_info;
pub mod symbols;
#[cfg(test)]
pub(crate) mod test_images;
pub mod zero_page;

pub use elf_error::{Error as ElfError, Part as ElfPart};
pub use entry::Entry;
pub use image::{Image, Kind};
pub use platform::Platform;
