//! A guest's image, told by its content.

use super::elf::{self, ELF_MAGIC, EntryPoint, System};
use super::segment::{PlaceError, Segment};
use super::{ElfError, Platform, bzimage, layout, multiboot, multiboot_info};

/// What a file has to be read up to before it is known whether it is an image at all.
pub const HEAD_BYTES: usize = multiboot::SEARCH_BYTES;

/// What kind of guest an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PVH ELF that is no Linux, such as the payload.
    Pvh,
    /// Linux: vmlinux or bzImage.
    Linux,
    /// An image with a multiboot 1 header.
    Multiboot,
}

/// An image that was checked. Every range of it lies in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// A 64-bit ELF: PVH, or Linux.
    Elf(elf::Image),
    /// A bzImage.
    BzImage(bzimage::Image),
    /// A multiboot image.
    Multiboot(multiboot::Image),
}

/// Why a file is refused. The caller puts its name in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An ELF that we cannot start.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// A bzImage that we cannot start.
    #[error(transparent)]
    BzImage(#[from] bzimage::Error),
    /// A multiboot image that we cannot start.
    #[error(transparent)]
    Multiboot(#[from] multiboot::Error),
    /// It does not fit the guest's memory.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A file of a known kind that is no image.
    #[error("{0}")]
    Known(&'static str),
}

/// Starts of files that somebody may take for an image: offset, bytes, and what to do.
const KNOWN: [(usize, &[u8], &str); 8] = [
    (
        0,
        b"\x1f\x8b",
        "gzip data; unpack it and give the kernel in it",
    ),
    (
        0,
        b"\xfd7zXZ\0",
        "xz data; unpack it and give the kernel in it",
    ),
    (
        0,
        b"\x28\xb5\x2f\xfd",
        "zstd data; unpack it and give the kernel in it",
    ),
    (0, b"BZh", "bzip2 data; unpack it and give the kernel in it"),
    (
        0x38,
        b"ARM\x64",
        "a kernel image for arm64; give one for x86-64",
    ),
    (
        0x38,
        b"RSC\x05",
        "a kernel image for RISC-V; give one for x86-64",
    ),
    (0, b"QFI\xfb", "a qcow2 disk; give a kernel"),
    (
        0,
        b"070701",
        "a cpio archive; give it as --initrd, and a kernel",
    ),
];

/// What is no file of a kind we know.
const UNKNOWN: &str = "not an ELF file, a bzImage or a multiboot image; give a 64-bit PVH kernel, \
                       such as an uncompressed vmlinux, or one of those";

/// What the start of a file says that it is.
enum Format {
    Elf,
    BzImage,
    Multiboot(multiboot::Header),
}

/// Tells a file from its first [`HEAD_BYTES`], or all of it if it has less.
fn format(head: &[u8]) -> Result<Format, Error> {
    // A file cut inside the magic number is an ELF that was cut, too.
    if head.starts_with(ELF_MAGIC) || (!head.is_empty() && ELF_MAGIC.starts_with(head)) {
        return Ok(Format::Elf);
    }
    if bzimage::is_one(head) {
        return Ok(Format::BzImage);
    }
    if let Some(header) = multiboot::find_header(head) {
        return Ok(Format::Multiboot(header));
    }
    let known = KNOWN
        .iter()
        .find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    Err(Error::Known(known.map_or(UNKNOWN, |(.., cure)| cure)))
}

/// Whether a file that starts with `head` may be an image, so that the rest of it is worth reading.
///
/// # Errors
/// [`Error::Known`].
pub fn check_head(head: &[u8]) -> Result<(), Error> {
    format(head).map(drop)
}

impl Image {
    /// Tells what the file with this content is, and checks it.
    ///
    /// # Errors
    /// [`Error`], for anything but a complete image of a kind we can start.
    pub fn identify(bytes: &[u8]) -> Result<Self, Error> {
        const CLASS_AT: usize = 4;
        const CLASS_32: u8 = 1;
        let header = match format(&bytes[..bytes.len().min(HEAD_BYTES)])? {
            Format::BzImage => return Ok(Self::BzImage(bzimage::Image::check(bytes)?)),
            Format::Multiboot(header) => header,
            Format::Elf if bytes.get(CLASS_AT) == Some(&CLASS_32) => {
                multiboot::find_header(bytes).ok_or(ElfError::ThirtyTwoBit)?
            }
            Format::Elf => match elf::Image::check(bytes) {
                Ok(image) => return Ok(Self::Elf(image)),
                Err(ElfError::NoPvhNote) => {
                    multiboot::find_header(bytes).ok_or(ElfError::NoPvhNote)?
                }
                Err(error) => return Err(error.into()),
            },
        };
        Ok(Self::Multiboot(multiboot::Image::check(bytes, header)?))
    }

    /// The same, and a Linux is not entered by PVH if there is another way. One that comes from there
    /// and finds Xen's interface takes itself for Xen's own PVH guest, which expects more of a host.
    #[must_use]
    pub fn without_pvh(mut self) -> Self {
        if let Self::Elf(image) = &mut self
            && let Some(entry) = image.linux64
        {
            image.entry = EntryPoint::Linux64(entry);
        }
        self
    }

    /// What kind of guest it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Elf(image) => match image.system {
                System::Linux => Kind::Linux,
                System::Other => Kind::Pvh,
            },
            Self::BzImage(_) => Kind::Linux,
            Self::Multiboot(_) => Kind::Multiboot,
        }
    }

    /// What it expects beside CPUs.
    pub fn platform(&self) -> Platform {
        match self.kind() {
            Kind::Pvh => Platform::Bare,
            Kind::Linux | Kind::Multiboot => Platform::Pc,
        }
    }

    /// Guest-physical address of the stub page, if the image has one.
    pub fn stub_page(&self) -> Option<u64> {
        match self {
            Self::Elf(image) => image.stub_page,
            _ => None,
        }
    }

    /// Guest-physical address of the payload's results, if the image has them.
    pub fn results(&self) -> Option<u64> {
        match self {
            Self::Elf(image) => image.results,
            _ => None,
        }
    }

    /// Guest-physical address of the handshake page, if the image has one.
    pub fn handshake(&self) -> Option<u64> {
        match self {
            Self::Elf(image) => image.handshake,
            _ => None,
        }
    }

    /// The parts of the file that go to memory.
    pub fn segments(&self) -> &[Segment] {
        match self {
            Self::Elf(image) => &image.segments,
            Self::BzImage(image) => std::slice::from_ref(&image.code),
            Self::Multiboot(image) => &image.segments,
        }
    }

    /// Guest-physical address of the first byte behind all that it takes before it reads the
    /// memory map.
    pub fn end(&self) -> u64 {
        let end = self.segments().iter().map(Segment::end).max().unwrap_or(0);
        match self {
            Self::BzImage(image) => end.max(image.end()),
            _ => end,
        }
    }

    /// Checks that the image fits a guest with RAM from 0 to `memory_bytes`, and leaves alone what
    /// we write there at boot.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn check_fits(&self, memory_bytes: u64) -> Result<(), PlaceError> {
        let areas: &[layout::Area] = match self {
            Self::Elf(elf::Image {
                entry: EntryPoint::Pvh(_),
                ..
            }) => &layout::PVH_DATA,
            Self::Elf(_) | Self::BzImage(_) => &layout::LINUX_DATA,
            Self::Multiboot(_) => &layout::MULTIBOOT_DATA,
        };
        let pc: &[layout::Area] = match self.platform() {
            Platform::Bare => &[],
            Platform::Pc => &layout::PC_DATA,
        };
        for segment in self.segments() {
            segment.check_fits(memory_bytes, areas)?;
            segment.check_fits(memory_bytes, pc)?;
        }
        match self {
            Self::BzImage(image) => {
                image.check_fits(memory_bytes, areas)?;
                image.check_fits(memory_bytes, pc)
            }
            Self::Multiboot(image) => multiboot_info::place(image, memory_bytes).map(drop),
            Self::Elf(_) => Ok(()),
        }
    }

    /// The image's bytes that the guest has at `linear`, if they all come from the file. A bzImage
    /// has its kernel packed, so none.
    pub fn code<'a>(&self, bytes: &'a [u8], linear: u64, length: usize) -> Option<&'a [u8]> {
        if matches!(self, Self::BzImage(_)) {
            return None;
        }
        let range = self
            .segments()
            .iter()
            .find_map(|segment| segment.file_range(linear, length))?;
        bytes.get(range)
    }
}

#[cfg(test)]
#[path = "image_test.rs"]
mod tests;
