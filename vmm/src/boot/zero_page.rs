//! Linux's zero page: what RSI points to at its 64-bit entry.
//!
//! Format: the kernel's `Documentation/arch/x86/boot.rst` and `zero-page.rst`.

use linux_loader::configurator::linux::LinuxBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use vm_memory::{ByteValued, GuestAddress, GuestMemoryMmap};

use super::bzimage::HEADER_AT;
use super::layout;
use super::memory_map::MemoryRange;
use super::module::PlacedModule;

/// A loader without an ID of its own.
const LOADER_UNDEFINED: u8 = 0xff;
const BOOT_FLAG: u16 = 0xaa55;
/// "HdrS".
const MAGIC: u32 = 0x5372_6448;
/// The version that a vmlinux without a header of its own is told: with 64-bit addresses and
/// `acpi_rsdp_addr`.
const VERSION: u16 = 0x20e;
const LOADED_HIGH: u8 = 1 << 0;

/// Why the zero page cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The memory map is too long.
    #[error("the memory map has {0} entries, more than the zero page takes")]
    MemoryMapTooLong(usize),
    /// The initrd is too large for its fields.
    #[error("the initrd of {bytes} bytes at {gpa:#x} is not below 4 GiB; give a smaller one")]
    Initrd {
        /// Guest-physical address.
        gpa: u64,
        /// Its size.
        bytes: u64,
    },
    /// It does not reach guest memory.
    #[error(
        "guest memory does not reach the zero page at {:#x}",
        layout::ZERO_PAGE
    )]
    ZeroPage(#[source] linux_loader::configurator::Error),
}

/// What the zero page says.
#[derive(Clone, Copy, Debug)]
pub struct ZeroPage<'a> {
    /// The setup header of a bzImage, or nothing for a vmlinux.
    pub setup_header: &'a [u8],
    /// The memory map.
    pub memory_ranges: &'a [MemoryRange],
    /// Bytes of the command line at [`layout::COMMAND_LINE`], without its NUL.
    pub command_line_bytes: usize,
    /// The initrd.
    pub initrd: Option<&'a PlacedModule>,
    /// Guest-physical address of the RSDP.
    pub rsdp: u64,
}

impl ZeroPage<'_> {
    /// Writes it to its place in [`layout`] and returns its address.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write(&self, memory: &GuestMemoryMmap) -> Result<u64, Error> {
        let mut params = boot_params::default();
        self.fill_header(&mut params)?;
        params.acpi_rsdp_addr = self.rsdp;
        let entries = self.memory_ranges.len();
        let too_long = || Error::MemoryMapTooLong(entries);
        params.e820_entries = u8::try_from(entries).map_err(|_| too_long())?;
        let mut table = params.e820_table;
        let room = table.get_mut(..entries).ok_or_else(too_long)?;
        for (entry, range) in room.iter_mut().zip(self.memory_ranges) {
            *entry = boot_e820_entry {
                addr: range.gpa.start,
                size: range.gpa.end - range.gpa.start,
                r#type: range.kind as u32,
            };
        }
        params.e820_table = table;
        let params = BootParams::new(&params, GuestAddress(layout::ZERO_PAGE));
        LinuxBootConfigurator::write_bootparams(&params, memory).map_err(Error::ZeroPage)?;
        Ok(layout::ZERO_PAGE)
    }

    /// The setup header: the kernel's own if it has one, then what a loader fills in.
    fn fill_header(&self, params: &mut boot_params) -> Result<(), Error> {
        if self.setup_header.is_empty() {
            params.hdr.boot_flag = BOOT_FLAG;
            params.hdr.header = MAGIC;
            params.hdr.version = VERSION;
            params.hdr.loadflags = LOADED_HIGH;
            params.hdr.cmdline_size = u32::try_from(self.command_line_bytes).unwrap_or(u32::MAX);
        } else if let Some(room) = params
            .as_mut_slice()
            .get_mut(HEADER_AT..HEADER_AT + self.setup_header.len())
        {
            room.copy_from_slice(self.setup_header);
        }
        params.hdr.type_of_loader = LOADER_UNDEFINED;
        // Below 4 GiB by the layout.
        params.hdr.cmd_line_ptr = u32::try_from(layout::COMMAND_LINE).unwrap_or(0);
        if let Some(&PlacedModule { gpa, bytes, .. }) = self.initrd {
            let field = |value: u64| u32::try_from(value).map_err(|_| Error::Initrd { gpa, bytes });
            params.hdr.ramdisk_image = field(gpa)?;
            params.hdr.ramdisk_size = field(bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "zero_page_test.rs"]
mod tests;
