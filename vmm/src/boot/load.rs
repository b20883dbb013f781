//! Putting an image into guest memory with all that it is told.

use std::io::Cursor;
use std::ops::Range;

use linux_loader::loader::KernelLoader;
use linux_loader::loader::bzimage::BzImage;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::acpi::{self, AcpiTables, Description};
use super::elf::EntryPoint;
use super::memory_map::{MemoryRange, memory_map};
use super::module::{self, End, Module, PlacedModule};
use super::zero_page::{self, ZeroPage};
use super::{
    Entry, Image, Kind, Platform, bios_area, command_line, layout, multiboot_info, registers,
    start_info,
};

/// The last byte of an initrd where the kernel does not say (`initrd_addr_max` of a 64-bit Linux).
const INITRD_LAST_DEFAULT: u64 = 0x7fff_ffff;

/// Why a guest cannot be put into memory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is refused.
    #[error(transparent)]
    CommandLine(#[from] command_line::Error),
    /// The initrd is refused.
    #[error(transparent)]
    Module(#[from] module::Error),
    /// The PVH start info cannot be written.
    #[error("the guest's boot data cannot be written")]
    StartInfo(#[from] start_info::Error),
    /// Linux's zero page cannot be written.
    #[error("the guest's boot data cannot be written")]
    ZeroPage(#[from] zero_page::Error),
    /// The multiboot information cannot be written.
    #[error("the guest's boot data cannot be written")]
    MultibootInfo(#[from] multiboot_info::Error),
    /// The bzImage cannot be written.
    #[error("the kernel cannot be written to guest memory")]
    BzImage(#[source] linux_loader::loader::Error),
    /// Guest memory cannot be written.
    #[error("guest memory cannot be written")]
    Memory(#[from] GuestMemoryError),
}

/// A guest with the places of its modules: all that can be refused without memory has been.
#[derive(Debug)]
pub struct Plan<'a> {
    image: &'a Image,
    bytes: &'a [u8],
    modules: &'a [Module],
    places: Vec<u64>,
    memory_bytes: u64,
}

/// What a machine tells its guest.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The ranges of RAM.
    pub ram: &'a [Range<u64>],
    /// The command line.
    pub command_line: &'a str,
    /// How much of it the user did not give.
    pub added_bytes: usize,
    /// x2APIC IDs in order of vCPU index.
    pub apic_ids: &'a [u32],
}

/// Checks that the command line is none that this guest would cut.
fn check_command_line(image: &Image, told: &Told<'_>) -> Result<(), command_line::Error> {
    let most = match image {
        Image::BzImage(image) => image.command_line_max.into(),
        _ if image.kind() == Kind::Linux => command_line::LINUX,
        _ => command_line::ROOM,
    };
    command_line::check(told.command_line, told.added_bytes, most)
}

impl<'a> Plan<'a> {
    /// Finds places for `modules` beside `image`, whose file is `bytes`, in a guest with RAM from 0
    /// to `memory_bytes`.
    ///
    /// # Errors
    /// [`module::Error`].
    pub fn new(
        image: &'a Image,
        bytes: &'a [u8],
        modules: &'a [Module],
        memory_bytes: u64,
    ) -> Result<Self, module::Error> {
        module::check(modules)?;
        let sizes: Vec<u64> = modules
            .iter()
            .map(|module| module.content.len() as u64)
            .collect();
        let (last, end) = match (image, image.kind()) {
            (Image::BzImage(image), _) => (image.initrd_last.into(), End::High),
            (_, Kind::Linux) => (INITRD_LAST_DEFAULT, End::High),
            (_, Kind::Pvh) => (u64::MAX, End::High),
            (_, Kind::Multiboot) => (u64::MAX, End::Low),
        };
        let told_end = match image {
            Image::Multiboot(image) => multiboot_info::place(image, memory_bytes)
                .map_or(0, |place| place + layout::MULTIBOOT_BYTES),
            _ => 0,
        };
        // Behind what is told below 1 MiB, wherever the image is.
        let bottom = image.end().max(told_end).max(layout::HIGH_RAM);
        let room = bottom..memory_bytes.min(last.saturating_add(1));
        let places = if sizes.is_empty() {
            Vec::new()
        } else {
            module::place(&sizes, &room, end)?
        };
        Ok(Self {
            image,
            bytes,
            modules,
            places,
            memory_bytes,
        })
    }

    /// Writes image, modules, tables and what `told` says.
    ///
    /// # Errors
    /// [`Error`].
    pub fn load(&self, memory: &GuestMemoryMmap, told: &Told<'_>) -> Result<Entry, Error> {
        check_command_line(self.image, told)?;
        self.write_image(memory)?;
        let modules = module::write(memory, self.modules, &self.places)?;
        let platform = self.image.platform();
        let description = Description {
            apic_ids: told.apic_ids,
            platform,
        };
        let tables = acpi::build(&description, layout::ACPI);
        memory.write_slice(&tables.bytes, GuestAddress(layout::ACPI))?;
        if platform == Platform::Pc {
            bios_area::write(memory, told.apic_ids)?;
        }
        let map = memory_map(told.ram, platform);
        let entry = self.write_told(memory, told.command_line, &map, &modules, &tables)?;
        registers::write_tables(entry, memory)?;
        Ok(entry)
    }

    fn write_image(&self, memory: &GuestMemoryMmap) -> Result<(), Error> {
        if let Image::BzImage(image) = self.image {
            let load = Some(GuestAddress(image.code.gpa));
            BzImage::load(memory, load, &mut Cursor::new(self.bytes), None)
                .map_err(Error::BzImage)?;
            return Ok(());
        }
        for segment in self.image.segments() {
            // Memory is new, so what a segment does not fill is zero.
            memory.write_slice(&self.bytes[segment.file.clone()], GuestAddress(segment.gpa))?;
        }
        Ok(())
    }

    /// Writes what the guest's boot protocol has for map, command line and modules.
    fn write_told(
        &self,
        memory: &GuestMemoryMmap,
        command_line: &str,
        map: &[MemoryRange],
        modules: &[PlacedModule],
        tables: &AcpiTables,
    ) -> Result<Entry, Error> {
        let linux = |setup_header, entry| {
            command_line::write(memory, command_line, command_line::ROOM)?;
            let page = ZeroPage {
                setup_header,
                memory_ranges: map,
                command_line_bytes: command_line.len(),
                initrd: modules.first(),
                rsdp: tables.rsdp,
            };
            Ok(Entry::Linux64 {
                entry,
                boot_params: page.write(memory)?,
            })
        };
        match self.image {
            Image::BzImage(image) => linux(&self.bytes[image.header.clone()], image.entry()),
            Image::Elf(image) => match image.entry {
                EntryPoint::Linux64(entry) => linux(&[], entry),
                EntryPoint::Pvh(entry) => Ok(Entry::Pvh {
                    entry,
                    start_info: start_info::write(memory, map, command_line, modules, tables.rsdp)?,
                }),
            },
            Image::Multiboot(image) => {
                let place = multiboot_info::place(image, self.memory_bytes)
                    .map_err(multiboot_info::Error::from)?;
                Ok(Entry::Multiboot {
                    entry: image.entry,
                    info: multiboot_info::write(memory, place, map, command_line, modules)?,
                })
            }
        }
    }
}

#[cfg(test)]
#[path = "load_test.rs"]
mod tests;
