//! The guest's image: read, checked, and put into memory with what it needs to start.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use guest_payload::abi::{
    PORT_HALT, PORT_HYPERCALL, PORT_SPIN_EXIT, STUB_HALT_OFFSET, STUB_HYPERCALL_OFFSET,
    STUB_SPIN_EXIT_OFFSET, stub_out,
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use crate::boot::acpi::{self, Description, Platform, ResetRegister};
use crate::boot::elf::{ELF_MAGIC, Image};
use crate::boot::{ElfError, layout, start_info};
use crate::memory::MemorySize;
use crate::spec::Guest;

/// Guest images larger than this are refused, whatever they are read from.
const IMAGE_BYTES_MAX: u64 = 1 << 30;

/// Why a guest cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the guest {0}")]
    Read(PathBuf, #[source] io::Error),
    /// Too large to be an image.
    #[error("the guest {0} is larger than 1 GiB; give an ELF kernel, not a disk")]
    TooLarge(PathBuf),
    /// Not an image we can start.
    #[error("guest {0}")]
    Image(String, #[source] ElfError),
    /// Boot data cannot be written.
    #[error("the guest's boot data cannot be written")]
    StartInfo(#[from] start_info::Error),
    /// Guest memory cannot be written.
    #[error("guest memory cannot be written")]
    Memory(#[from] GuestMemoryError),
}

/// An image that has been checked.
#[derive(Debug)]
pub struct LoadedGuest {
    bytes: Cow<'static, [u8]>,
    /// Where everything is.
    pub image: Image,
}

impl LoadedGuest {
    /// Reads and checks `guest`.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TooLarge`], [`Error::Image`].
    pub fn read(guest: &Guest, memory: MemorySize) -> Result<Self, Error> {
        let (name, bytes) = match guest {
            Guest::Bundled => (
                "bundled payload".to_owned(),
                Cow::Borrowed(guest_payload::IMAGE),
            ),
            Guest::File(path) => (path.display().to_string(), Cow::Owned(read_file(path)?)),
        };
        let below_hole = memory.ranges().first().map_or(0, |range| range.end);
        let image = Image::check(&bytes)
            .and_then(|image| image.check_fits(below_hole).map(|()| image))
            .map_err(|error| Error::Image(name, error))?;
        Ok(Self { bytes, image })
    }

    /// Writes segments, start info and ACPI tables; returns the start info's address.
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::StartInfo`].
    pub fn load(
        &self,
        memory: &GuestMemoryMmap,
        size: MemorySize,
        cmdline: &str,
        apic_ids: &[u32],
    ) -> Result<u64, Error> {
        for segment in &self.image.segments {
            // Memory is new, so what a segment does not fill is zero.
            memory.write_slice(&self.bytes[segment.file.clone()], GuestAddress(segment.gpa))?;
        }
        let description = Description {
            apic_ids,
            platform: Platform::HardwareReduced,
            io_apic: None,
            reset: Some(ResetRegister {
                port: 0x64,
                value: 0xfe,
            }),
        };
        let tables = acpi::build(&description, layout::ACPI);
        memory.write_slice(&tables.bytes, GuestAddress(layout::ACPI))?;
        let map = start_info::memory_map(&size.ranges());
        Ok(start_info::write(memory, &map, cmdline, tables.rsdp)?)
    }

    /// Rewrites the stubs that the VMM takes over.
    ///
    /// The halt stub stays `hlt` at CPL 0: only CPL 3 calls it, and only where it is a port write.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn take_over_stubs(&self, memory: &GuestMemoryMmap) -> Result<(), Error> {
        let Some(page) = self.image.stub_page else {
            return Ok(());
        };
        for (offset, port) in [
            (STUB_HYPERCALL_OFFSET, PORT_HYPERCALL),
            (STUB_HALT_OFFSET, PORT_HALT),
            (STUB_SPIN_EXIT_OFFSET, PORT_SPIN_EXIT),
        ] {
            memory.write_slice(&stub_out(port), GuestAddress(page + offset))?;
        }
        Ok(())
    }
}

/// Reads a file, or a device or pipe that may have no end.
fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::Read(path.to_owned(), error);
    let file = File::open(path).map_err(failed)?;
    let known_bytes = file.metadata().map_err(failed)?.len();
    if known_bytes > IMAGE_BYTES_MAX {
        return Err(Error::TooLarge(path.to_owned()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(known_bytes).unwrap_or(0));
    let mut file = file.take(ELF_MAGIC.len() as u64);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if !bytes.starts_with(ELF_MAGIC) {
        // No need to know the rest, which may never end.
        return Ok(bytes);
    }
    file.set_limit(IMAGE_BYTES_MAX);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read <= IMAGE_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(Error::TooLarge(path.to_owned()))
    }
}
