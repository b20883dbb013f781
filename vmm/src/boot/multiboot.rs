//! A strict look at an image with a multiboot 1 header.
//!
//! Format: "Multiboot Specification version 0.6.96", 3.1 "OS image format". Where it leaves a
//! choice, this does as QEMU's loader.

use object::LittleEndian;
use object::elf::{EM_386, EM_X86_64, FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

use super::elf::ELF_MAGIC;
use super::field::u32_at;
use super::segment::Segment;

/// The header lies in this many bytes from the start of the file.
pub const SEARCH_BYTES: usize = 8192;
/// The header starts on a multiple of this.
const ALIGN: usize = 4;
const MAGIC: u32 = 0x1bad_b002;
/// Size of the fields that every header has: magic, flags, checksum.
const BASE_BYTES: usize = 12;
/// Flags a loader has to understand: 0 to 15.
const REQUIRED: u32 = 0xffff;
/// Modules on pages, which they always are.
const PAGE_ALIGN: u32 = 1 << 0;
/// Memory information, which is always given.
const MEMORY_INFO: u32 = 1 << 1;
/// A video mode. The fields in the header are a wish: QEMU's loader says so and goes on, and the
/// information block tells the guest that there is no video mode.
const VIDEO: u32 = 1 << 2;
/// The header has the addresses, whatever the file format.
const ADDRESSES: u32 = 1 << 16;

/// An image that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// 32-bit physical entry point; some segment holds it.
    pub entry: u32,
    /// In ascending order of guest-physical address.
    pub segments: Vec<Segment>,
}

/// Why a multiboot image is refused. The caller puts the file's name in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Flags we do not know and must not ignore.
    #[error(
        "multiboot header asks for features {features:#x}, which this loader lacks; it has page alignment (1), memory information (2) and addresses (0x10000)"
    )]
    Features {
        /// Those flags.
        features: u32,
    },
    /// 64-bit ELF without addresses.
    #[error(
        "a 64-bit ELF with a multiboot header but no addresses in it; make it a 32-bit one with objcopy -O elf32-i386"
    )]
    SixtyFourBit,
    /// No ELF and no addresses.
    #[error(
        "a multiboot header without addresses in a file that is not an ELF; the file is damaged"
    )]
    NoAddresses,
    /// An ELF that cannot be read.
    #[error("multiboot ELF: {0}; the file is damaged or cut short")]
    Elf(String),
    /// Built for another machine.
    #[error("multiboot ELF built for machine {machine}, not for i386 (3)")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// Nothing to load.
    #[error("multiboot image without anything to load")]
    Empty,
    /// Address fields that contradict each other.
    #[error(
        "multiboot header: {field} {value:#x} contradicts the other addresses; the file is damaged"
    )]
    Address {
        /// Which.
        field: &'static str,
        /// What it says.
        value: u32,
    },
    /// The file ends before something it says it has.
    #[error(
        "truncated: the multiboot image ends at byte {needed}, the file at byte {length}; copy it again"
    )]
    Truncated {
        /// The file would need this many bytes at least.
        needed: u64,
        /// Bytes of the file.
        length: usize,
    },
    /// Two segments share memory.
    #[error("segments overlap at {gpa:#x}; link them apart")]
    Overlap {
        /// Where the upper one starts.
        gpa: u64,
    },
    /// A segment runs past 4 GiB.
    #[error("segment at {gpa:#x} with {mem_bytes:#x} bytes runs past 4 GiB; the file is damaged")]
    PastEnd {
        /// Load address.
        gpa: u64,
        /// Its size in memory.
        mem_bytes: u64,
    },
    /// The entry point is not in what is loaded.
    #[error("multiboot entry point {entry:#x} is in no segment; the link addresses are wrong")]
    EntryOutside {
        /// Where it would be.
        entry: u32,
    },
}

/// A multiboot header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it starts in the file.
    at: usize,
    flags: u32,
}

/// The header, if the first [`SEARCH_BYTES`] of `bytes` have one.
pub fn find_header(bytes: &[u8]) -> Option<Header> {
    let searched = &bytes[..bytes.len().min(SEARCH_BYTES)];
    (0..searched.len()).step_by(ALIGN).find_map(|at| {
        let header = searched.get(at..at.checked_add(BASE_BYTES)?)?;
        let (magic, flags, checksum) = (u32_at(header, 0), u32_at(header, 4), u32_at(header, 8));
        let sum = magic.wrapping_add(flags).wrapping_add(checksum);
        (magic == MAGIC && sum == 0).then_some(Header { at, flags })
    })
}

impl Image {
    /// Guest-physical address of the first byte behind all segments.
    pub fn end(&self) -> u64 {
        self.segments.iter().map(Segment::end).max().unwrap_or(0)
    }

    /// Checks `bytes`, a whole file whose header is `header`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn check(bytes: &[u8], header: Header) -> Result<Self, Error> {
        let unknown = header.flags & REQUIRED & !(PAGE_ALIGN | MEMORY_INFO | VIDEO);
        if unknown != 0 {
            return Err(Error::Features { features: unknown });
        }
        let (entry, mut segments) = if header.flags & ADDRESSES != 0 {
            flat(bytes, header.at)?
        } else if bytes.starts_with(ELF_MAGIC) {
            elf32(bytes)?
        } else {
            return Err(Error::NoAddresses);
        };
        segments.sort_by_key(|segment| segment.gpa);
        if segments.is_empty() {
            return Err(Error::Empty);
        }
        for segment in &segments {
            let (gpa, mem_bytes) = (segment.gpa, segment.mem_bytes);
            let end = gpa.checked_add(mem_bytes);
            if end.is_none_or(|end| end > 1 << 32) {
                return Err(Error::PastEnd { gpa, mem_bytes });
            }
        }
        for pair in segments.windows(2) {
            if pair[0].end() > pair[1].gpa {
                return Err(Error::Overlap { gpa: pair[1].gpa });
            }
        }
        if !segments.iter().any(|s| s.holds(entry.into(), 1)) {
            return Err(Error::EntryOutside { entry });
        }
        Ok(Self { entry, segments })
    }
}

/// An image that is loaded as the header's address fields say ("a.out kludge").
fn flat(bytes: &[u8], at: usize) -> Result<(u32, Vec<Segment>), Error> {
    const FIELDS_BYTES: usize = 32;
    let truncated = |needed| Error::Truncated {
        needed,
        length: bytes.len(),
    };
    let fields = bytes
        .get(at..at + FIELDS_BYTES)
        .ok_or_else(|| truncated((at + FIELDS_BYTES) as u64))?;
    let [header, load, load_end, bss_end, entry] =
        [12, 16, 20, 24, 28].map(|offset| u32_at(fields, offset));
    let wrong = |field, value| Error::Address { field, value };
    let before = header
        .checked_sub(load)
        .and_then(|before| usize::try_from(before).ok())
        .ok_or_else(|| wrong("load_addr", load))?;
    let start = at
        .checked_sub(before)
        .ok_or_else(|| wrong("header_addr", header))?;
    let file_bytes = match load_end {
        // All of the file.
        0 => bytes.len() - start,
        end => end
            .checked_sub(load)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or_else(|| wrong("load_end_addr", end))?,
    };
    let end = start.saturating_add(file_bytes);
    if end > bytes.len() {
        return Err(truncated(end as u64));
    }
    let mem_bytes = match bss_end {
        0 => file_bytes as u64,
        end => u64::from(end)
            .checked_sub(load.into())
            .filter(|length| *length >= file_bytes as u64)
            .ok_or_else(|| wrong("bss_end_addr", end))?,
    };
    let segment = Segment {
        gpa: load.into(),
        linear: load.into(),
        file: start..end,
        mem_bytes,
    };
    let segments = if mem_bytes == 0 {
        Vec::new()
    } else {
        vec![segment]
    };
    Ok((entry, segments))
}

/// A 32-bit ELF, loaded as its program headers say.
fn elf32(bytes: &[u8]) -> Result<(u32, Vec<Segment>), Error> {
    const CLASS_64: u8 = 2;
    if bytes.get(4) == Some(&CLASS_64) {
        return Err(Error::SixtyFourBit);
    }
    let unreadable = |error: object::read::Error| Error::Elf(error.to_string().to_lowercase());
    let header = FileHeader32::<LittleEndian>::parse(bytes).map_err(unreadable)?;
    let endian = header.endian().map_err(unreadable)?;
    match header.e_machine(endian) {
        EM_386 => {}
        EM_X86_64 => return Err(Error::SixtyFourBit),
        machine => return Err(Error::Machine { machine: machine.0 }),
    }
    // Linkers put the section headers last: a file without their end was cut.
    let sections = u64::from(header.e_shentsize(endian)) * u64::from(header.e_shnum(endian));
    let needed = u64::from(header.e_shoff(endian)) + sections;
    if needed > bytes.len() as u64 {
        return Err(Error::Truncated {
            needed,
            length: bytes.len(),
        });
    }
    let mut segments = Vec::new();
    let mut entry = header.e_entry(endian);
    for program in header.program_headers(endian, bytes).map_err(unreadable)? {
        let mem_bytes = program.p_memsz(endian);
        if program.p_type(endian) != PT_LOAD || mem_bytes == 0 {
            continue;
        }
        let (offset, file_bytes) = program.file_range(endian);
        let end = offset.saturating_add(file_bytes);
        let file = match (usize::try_from(offset), usize::try_from(end)) {
            (Ok(start), Ok(end)) if end <= bytes.len() => start..end,
            _ => {
                return Err(Error::Truncated {
                    needed: end,
                    length: bytes.len(),
                });
            }
        };
        let segment = Segment {
            gpa: program.p_paddr(endian).into(),
            linear: program.p_vaddr(endian).into(),
            file,
            mem_bytes: u64::from(mem_bytes).max(file_bytes),
        };
        segments.push(segment);
    }
    // The entry point is a virtual address, which differs where the segments' addresses do.
    let runs = segments.iter().find(|segment| {
        (segment.linear..segment.linear + segment.mem_bytes).contains(&entry.into())
    });
    if let Some(segment) = runs {
        let gpa = u64::from(entry) - segment.linear + segment.gpa;
        entry = u32::try_from(gpa).map_err(|_| Error::EntryOutside { entry })?;
    }
    Ok((entry, segments))
}

#[cfg(test)]
#[path = "multiboot_test.rs"]
mod tests;
