//! The guest's image: read, checked, and put into memory with what it needs to start.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use guest_payload::abi::{
    PORT_HALT, PORT_HYPERCALL, PORT_SPIN_EXIT, STUB_HALT_OFFSET, STUB_HYPERCALL_OFFSET,
    STUB_SPIN_EXIT_OFFSET, stub_out,
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::linux_cmdline::Cmdline;
use crate::boot::load::{self, Plan, Told};
use crate::boot::module::{self, Module};
use crate::boot::symbols::{Symbol, Symbols};
use crate::boot::{Entry, Image, Kind, Platform, image};
use crate::memory::MemorySize;
use crate::spec::{Guest, Interface};

/// Guest images larger than this are refused, whatever they are read from.
const IMAGE_BYTES_MAX: u64 = 1 << 30;

/// Why a guest cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the guest {0}")]
    Read(PathBuf, #[source] io::Error),
    /// Too large to be an image.
    #[error("the guest {0} is larger than 1 GiB; give a kernel, not a disk")]
    TooLarge(PathBuf),
    /// Not an image we can start.
    #[error("guest {0}")]
    Image(String, #[source] image::Error),
    /// A test image with Xen's interface.
    #[error("{0} is a multiboot image, which has no use for Xen's interface; leave out --xen")]
    NoXen(String),
    /// The initrd cannot be read.
    #[error("cannot read the initrd {0}")]
    ReadInitrd(PathBuf, #[source] io::Error),
    /// The initrd is larger than memory.
    #[error(
        "the initrd {0} is larger than the guest's memory below 4 GiB ({1:#x} bytes); give more with --memory"
    )]
    InitrdTooLarge(PathBuf, u64),
    /// The initrd does not fit.
    #[error(transparent)]
    Module(#[from] module::Error),
    /// It cannot be put into memory.
    #[error(transparent)]
    Load(load::Error),
    /// Guest memory cannot be written.
    #[error("guest memory cannot be written")]
    Memory(#[from] GuestMemoryError),
}

/// A routine of a guest's stub page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stub {
    /// The hypercall.
    Hypercall,
    /// The halt.
    Halt,
    /// The way out of a spin loop.
    SpinExit,
}

/// An image that has been checked, with the files that go with it.
#[derive(Debug)]
pub struct LoadedGuest {
    /// As a multiboot guest is told it.
    name: String,
    bytes: Cow<'static, [u8]>,
    image: Image,
    modules: Vec<Module>,
    symbols: OnceLock<Symbols>,
}

impl LoadedGuest {
    /// Reads and checks `guest` and its initrds.
    ///
    /// # Errors
    /// [`Error`], without having touched a machine.
    pub fn read(guest: &Guest, initrds: &[PathBuf], memory: MemorySize) -> Result<Self, Error> {
        Self::read_for(guest, initrds, memory, Interface::Kvm)
    }

    /// The same for a machine in which it finds `interface`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_for(
        guest: &Guest,
        initrds: &[PathBuf],
        memory: MemorySize,
        interface: Interface,
    ) -> Result<Self, Error> {
        let (name, bytes) = match guest {
            Guest::Bundled => (
                "bundled payload".to_owned(),
                Cow::Borrowed(guest_payload::IMAGE),
            ),
            Guest::File(path) => (path.display().to_string(), Cow::Owned(read_image(path)?)),
        };
        let below_hole = below_hole(memory);
        let refused = |error| Error::Image(name.clone(), error);
        let image = Image::identify(&bytes).map_err(refused)?;
        let image = match interface {
            Interface::Kvm => image,
            Interface::Xen => image.without_pvh(),
        };
        // Its test device has the host forget a page, which for a moment nobody can write; and with
        // Xen's interface the VMM writes pages of the guest's choice.
        if (interface, image.kind()) == (Interface::Xen, Kind::Multiboot) {
            return Err(Error::NoXen(name));
        }
        image
            .check_fits(below_hole)
            .map_err(|error| refused(error.into()))?;
        let modules = initrds
            .iter()
            .map(|path| read_initrd(path, image.kind(), below_hole))
            .collect::<Result<Vec<_>, _>>()?;
        let modules = match image.kind() {
            Kind::Linux => module::joined(modules),
            Kind::Pvh | Kind::Multiboot => modules,
        };
        // Whether they fit is said before there is a machine.
        Plan::new(&image, &bytes, &modules, below_hole)?;
        Ok(Self {
            name,
            bytes,
            image,
            modules,
            symbols: OnceLock::new(),
        })
    }

    /// What kind of guest it is.
    pub fn kind(&self) -> Kind {
        self.image.kind()
    }

    /// What it expects beside CPUs.
    pub fn platform(&self) -> Platform {
        self.image.platform()
    }

    /// Guest-physical address of the stub page, if the image has one.
    pub fn stub_page(&self) -> Option<u64> {
        self.image.stub_page()
    }

    /// Guest-physical address of the payload's results, if the image has them.
    pub fn results(&self) -> Option<u64> {
        self.image.results()
    }

    /// Guest-physical address of the handshake page, if the image has one.
    pub fn handshake(&self) -> Option<u64> {
        self.image.handshake()
    }

    /// The names in the image, read when somebody first asks.
    pub fn symbols(&self) -> &Symbols {
        self.symbols.get_or_init(|| Symbols::read(&self.bytes))
    }

    /// The names in the image, to be kept without it.
    pub fn into_symbols(mut self) -> Symbols {
        self.symbols();
        self.symbols.take().unwrap_or_default()
    }

    /// Where the function `name` is, by its linear address.
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        self.symbols().find(name)
    }

    /// The image's bytes at a linear address, if all of them come from the file.
    pub fn code(&self, linear: u64, length: usize) -> Option<&[u8]> {
        self.image.code(&self.bytes, linear, length)
    }

    /// Writes image, initrds, tables and what the guest is told; returns how it is entered.
    ///
    /// # Errors
    /// [`Error::Load`], [`Error::Module`], [`Error::Memory`].
    pub fn load(
        &self,
        memory: &GuestMemoryMmap,
        size: MemorySize,
        cmdline: &Cmdline,
        apic_ids: &[u32],
    ) -> Result<Entry, Error> {
        let command_line = match self.kind() {
            // As QEMU's loader has it: the first word is the image's name.
            Kind::Multiboot => Cow::Owned(format!("{} {}", self.name, cmdline.text)),
            Kind::Pvh | Kind::Linux => Cow::Borrowed(cmdline.text.as_str()),
        };
        let ram = size.ranges();
        let told = Told {
            ram: &ram,
            command_line: &command_line,
            added_bytes: cmdline.added_bytes,
            apic_ids,
        };
        Plan::new(&self.image, &self.bytes, &self.modules, below_hole(size))?
            .load(memory, &told)
            .map_err(|error| match error {
                load::Error::Memory(error) => Error::Memory(error),
                error => Error::Load(error),
            })
    }

    /// Rewrites the stubs of `taken`.
    ///
    /// The halt stub stays `hlt` at CPL 0: only CPL 3 calls it, and only where it is a port write.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn take_over_stubs(&self, memory: &GuestMemoryMmap, taken: &[Stub]) -> Result<(), Error> {
        let Some(page) = self.stub_page() else {
            return Ok(());
        };
        for stub in taken {
            let (offset, port) = match stub {
                Stub::Hypercall => (STUB_HYPERCALL_OFFSET, PORT_HYPERCALL),
                Stub::Halt => (STUB_HALT_OFFSET, PORT_HALT),
                Stub::SpinExit => (STUB_SPIN_EXIT_OFFSET, PORT_SPIN_EXIT),
            };
            memory.write_slice(&stub_out(port), GuestAddress(page + offset))?;
        }
        Ok(())
    }
}

/// Bytes of RAM from 0 to the hole below 4 GiB.
fn below_hole(memory: MemorySize) -> u64 {
    memory.ranges().first().map_or(0, |range| range.end)
}

/// Opens a file. A FIFO without a writer would be waited for, and nothing could end that.
fn open(path: &Path) -> io::Result<File> {
    // What a shell puts into the place of `<(command)` has its writer.
    let has_writer = ["/dev/fd", "/proc"].iter().any(|of| path.starts_with(of));
    if !has_writer && fs::metadata(path)?.file_type().is_fifo() {
        return Err(io::Error::other("it is a FIFO; give a file"));
    }
    File::open(path)
}

/// Reads a file, or a device or pipe that may have no end.
fn read_image(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::Read(path.to_owned(), error);
    let file = open(path).map_err(failed)?;
    let known_bytes = file.metadata().map_err(failed)?.len();
    if known_bytes > IMAGE_BYTES_MAX {
        return Err(Error::TooLarge(path.to_owned()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(known_bytes).unwrap_or(0));
    let mut file = file.take(image::HEAD_BYTES as u64);
    file.read_to_end(&mut bytes).map_err(failed)?;
    // What is no image need not be read to an end that may never come.
    image::check_head(&bytes).map_err(|error| Error::Image(path.display().to_string(), error))?;
    file.set_limit(IMAGE_BYTES_MAX);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read <= IMAGE_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(Error::TooLarge(path.to_owned()))
    }
}

/// Reads an initrd of which no more than `most` bytes can be of use. A PVH or multiboot guest may be
/// given arguments with it, behind a space: `FILE ARGUMENTS`, unless there is a file of that name.
fn read_initrd(given: &Path, kind: Kind, most: u64) -> Result<Module, Error> {
    let path = match (kind, given.to_str().and_then(|text| text.split_once(' '))) {
        (Kind::Pvh | Kind::Multiboot, Some((path, _))) if !given.exists() => Path::new(path),
        _ => given,
    };
    let failed = |error| Error::ReadInitrd(path.to_owned(), error);
    let file = open(path).map_err(failed)?;
    let known_bytes = file.metadata().map_err(failed)?.len();
    let too_large = || Error::InitrdTooLarge(path.to_owned(), most);
    if known_bytes > most {
        return Err(too_large());
    }
    let mut content = Vec::with_capacity(usize::try_from(known_bytes).unwrap_or(0));
    file.take(most.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(failed)?;
    if content.len() as u64 > most {
        return Err(too_large());
    }
    Ok(Module {
        command_line: given.display().to_string(),
        content,
    })
}

#[cfg(test)]
#[path = "guest_test.rs"]
mod tests;
