//! What a guest finds when it starts: its image, its tables, its registers.

pub mod acpi;
pub mod elf;
mod elf_error;
mod elf_notes;
pub mod layout;
pub mod pvh_registers;
pub mod start_info;

pub use elf_error::{Error as ElfError, Part as ElfPart};
