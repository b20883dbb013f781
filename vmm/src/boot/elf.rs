//! A strict look at a guest image before anything of it is loaded.
//!
//! Formats: System V ABI "ELF-64 Object File Format"; Xen's `docs/misc/pvh.pandoc` for the entry
//! point. Linux kernels, whose `vmlinux` is one of these images, keep to it all.

use std::ops::Range;

use memchr::memmem;

use super::elf_error::{Error, Part};
use super::elf_notes::{Notes, Owner, read_notes};
use super::field::{u16_at, u32_at, u64_at};
use super::segment::Segment;

/// What every ELF file starts with.
pub const ELF_MAGIC: &[u8] = b"\x7fELF";

/// Size of `Elf64_Ehdr`.
const HEADER_BYTES: u64 = 64;
/// Size of `Elf64_Phdr`.
const PROGRAM_HEADER_BYTES: u16 = 56;
/// Size of `Elf64_Shdr`.
const SECTION_HEADER_BYTES: u64 = 64;
/// `e_phnum` that means "more than 65534".
const MANY_PROGRAM_HEADERS: u16 = 0xffff;
const CLASS_32: u8 = 1;
const CLASS_64: u8 = 2;
const DATA_LITTLE_ENDIAN: u8 = 1;
const TYPE_EXECUTABLE: u16 = 2;
const MACHINE_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

/// An image that was checked: every range lies in the file, and no two segments overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Whose it is.
    pub system: System,
    /// Where it is entered; some segment holds that address.
    pub entry: EntryPoint,
    /// Where a Linux can be entered by its 64-bit boot protocol.
    pub linux64: Option<u64>,
    /// In ascending order of guest-physical address.
    pub segments: Vec<Segment>,
    /// Guest-physical address of the page of stubs, if the image has one.
    pub stub_page: Option<u64>,
    /// Guest-physical address of the results, if the image has them.
    pub results: Option<u64>,
    /// Guest-physical address of the handshake page, if the image has one.
    pub handshake: Option<u64>,
}

/// Where an image is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPoint {
    /// By PVH, at this physical address.
    Pvh(u32),
    /// By Linux's 64-bit boot protocol, at this physical address.
    Linux64(u64),
}

/// Whose an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Linux: it has notes of its own, or says so in its banner.
    Linux,
    /// Another one, such as the payload.
    Other,
}

/// How Linux's banner starts (`init/version.c`).
const LINUX_BANNER: &[u8] = b"Linux version ";

impl Image {
    /// Checks `bytes`, a whole ELF file.
    ///
    /// # Errors
    /// [`Error`], for anything but a complete x86-64 executable with a PVH entry point or a Linux.
    pub fn check(bytes: &[u8]) -> Result<Self, Error> {
        let file = File(bytes);
        let headers = file.program_headers()?;
        file.section_headers()?;

        let mut segments = Vec::new();
        let mut notes = Notes::default();
        for header in &headers {
            match header.kind {
                PT_LOAD if header.mem_bytes.max(header.file_bytes) > 0 => {
                    segments.push(file.segment(header)?)
                }
                PT_NOTE => {
                    let range = file.range(Part::Notes, header.offset, header.file_bytes)?;
                    notes.merge(read_notes(&bytes[range], header.align)?);
                }
                _ => {}
            }
        }
        segments.sort_by_key(|segment: &Segment| segment.gpa);
        for pair in segments.windows(2) {
            if pair[0].end() > pair[1].gpa {
                return Err(Error::Overlap {
                    first: pair[0].gpa,
                    first_end: pair[0].end(),
                    second: pair[1].gpa,
                    second_end: pair[1].end(),
                });
            }
        }
        let holds = |gpa, bytes| segments.iter().any(|segment| segment.holds(gpa, bytes));

        let system = match notes.owner {
            Owner::Linux => System::Linux,
            Owner::Ours => System::Other,
            Owner::Unknown if file.has_banner(&segments) => System::Linux,
            Owner::Unknown => System::Other,
        };
        let entry = match (notes.pvh_entry, system) {
            (Some(entry), _) => match u32::try_from(entry) {
                Ok(entry) if holds(entry.into(), 1) => EntryPoint::Pvh(entry),
                _ => return Err(Error::EntryOutside { entry }),
            },
            (None, System::Linux) => {
                let entry = file.entry();
                if !holds(entry, 1) {
                    return Err(Error::LinuxEntryOutside { entry });
                }
                EntryPoint::Linux64(entry)
            }
            (None, System::Other) => return Err(Error::NoPvhNote),
        };
        for (what, gpa, bytes) in notes.areas() {
            if !gpa.is_multiple_of(AREA_ALIGN) {
                return Err(Error::AreaMisaligned { what, gpa });
            }
            if !holds(gpa, bytes) {
                return Err(Error::AreaOutside { what, gpa, bytes });
            }
        }
        let linux64 = Some(file.entry()).filter(|&at| system == System::Linux && holds(at, 1));
        Ok(Self {
            system,
            entry,
            linux64,
            segments,
            stub_page: notes.stub_page,
            results: notes.results,
            handshake: notes.handshake,
        })
    }
}

/// Alignment of the pages that notes name, all `#[repr(align(4096))]`.
const AREA_ALIGN: u64 = 4096;

struct ProgramHeader {
    kind: u32,
    offset: u64,
    linear: u64,
    gpa: u64,
    file_bytes: u64,
    mem_bytes: u64,
    align: u64,
}

struct File<'a>(&'a [u8]);

impl File<'_> {
    fn program_headers(&self) -> Result<Vec<ProgramHeader>, Error> {
        self.header()?;
        let offset = u64_at(self.0, 32);
        let entry_bytes = u16_at(self.0, 54);
        let count = u16_at(self.0, 56);
        if count == 0 {
            return Err(Error::NoSegments);
        }
        if entry_bytes != PROGRAM_HEADER_BYTES || count == MANY_PROGRAM_HEADERS {
            return Err(Error::ProgramHeaders { entry_bytes, count });
        }
        let length = u64::from(entry_bytes) * u64::from(count);
        let table = &self.0[self.range(Part::ProgramHeaders, offset, length)?];
        Ok(table
            .chunks_exact(usize::from(PROGRAM_HEADER_BYTES))
            .map(|header| ProgramHeader {
                kind: u32_at(header, 0),
                offset: u64_at(header, 8),
                linear: u64_at(header, 16),
                gpa: u64_at(header, 24),
                file_bytes: u64_at(header, 32),
                mem_bytes: u64_at(header, 40),
                align: u64_at(header, 48),
            })
            .collect())
    }

    /// Checks identification, type and machine. Afterwards the whole file header can be read.
    fn header(&self) -> Result<(), Error> {
        let Some(identification) = self.0.strip_prefix(ELF_MAGIC) else {
            // A file cut inside the magic number is one that was cut, too.
            return Err(match ELF_MAGIC.starts_with(self.0) {
                true if !self.0.is_empty() => self.truncated(Part::Header, HEADER_BYTES),
                _ => Error::NotElf,
            });
        };
        match identification.first() {
            Some(&CLASS_32) => return Err(Error::ThirtyTwoBit),
            Some(&CLASS_64) | None => {}
            Some(&class) => return Err(Error::Class { class }),
        }
        match identification.get(1) {
            Some(&DATA_LITTLE_ENDIAN) | None => {}
            Some(_) => return Err(Error::NotLittleEndian),
        }
        self.range(Part::Header, 0, HEADER_BYTES)?;
        let machine = u16_at(self.0, 18);
        if machine != MACHINE_X86_64 {
            return Err(Error::Machine { machine });
        }
        let kind = u16_at(self.0, 16);
        if kind != TYPE_EXECUTABLE {
            return Err(Error::NotExecutable { kind });
        }
        Ok(())
    }

    /// Checks that the section headers are all there. Nothing of them is used, but linkers put
    /// them last: a file without their end was cut.
    fn section_headers(&self) -> Result<(), Error> {
        let offset = u64_at(self.0, 40);
        if offset == 0 {
            return Ok(());
        }
        let length = u64::from(u16_at(self.0, 58)) * u64::from(u16_at(self.0, 60));
        // 0 stands for "the count is in the first section header".
        let length = length.max(SECTION_HEADER_BYTES);
        self.range(Part::SectionHeaders, offset, length).map(drop)
    }

    /// `e_entry`. The file header has been checked.
    fn entry(&self) -> u64 {
        u64_at(self.0, 24)
    }

    fn has_banner(&self, segments: &[Segment]) -> bool {
        let finder = memmem::Finder::new(LINUX_BANNER);
        segments
            .iter()
            .any(|segment| finder.find(&self.0[segment.file.clone()]).is_some())
    }

    fn segment(&self, header: &ProgramHeader) -> Result<Segment, Error> {
        let &ProgramHeader {
            gpa,
            file_bytes,
            mem_bytes,
            ..
        } = header;
        if mem_bytes < file_bytes {
            return Err(Error::FileBeyondMemory {
                gpa,
                file_bytes,
                mem_bytes,
            });
        }
        if gpa.checked_add(mem_bytes).is_none() {
            return Err(Error::AddressOverflow { gpa, mem_bytes });
        }
        Ok(Segment {
            gpa,
            linear: header.linear,
            file: self.range(Part::Segment { gpa }, header.offset, file_bytes)?,
            mem_bytes,
        })
    }

    /// The range of `length` bytes from `offset`, which lies in the file.
    fn range(&self, part: Part, offset: u64, length: u64) -> Result<Range<usize>, Error> {
        let end = offset.saturating_add(length);
        match (usize::try_from(offset), usize::try_from(end)) {
            (Ok(start), Ok(end)) if start <= end && end <= self.0.len() => Ok(start..end),
            _ => Err(self.truncated(part, end)),
        }
    }

    fn truncated(&self, part: Part, needed: u64) -> Error {
        Error::Truncated {
            part,
            needed,
            length: self.0.len(),
        }
    }
}

#[cfg(test)]
#[path = "elf_test.rs"]
mod tests;
