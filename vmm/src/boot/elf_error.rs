//! What can be wrong with a guest image.

use std::fmt;

/// Why an image is refused. The caller puts the file's name in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No ELF magic number.
    #[error("not an ELF file; give a 64-bit PVH kernel, such as an uncompressed vmlinux")]
    NotElf,
    /// ELFCLASS32.
    #[error("a 32-bit ELF without a multiboot header; the guest has to be a 64-bit one")]
    ThirtyTwoBit,
    /// Neither 32 nor 64 bits.
    #[error("ELF class {class} is neither 32-bit nor 64-bit; the file is damaged")]
    Class {
        /// `EI_CLASS`.
        class: u8,
    },
    /// Not ELFDATA2LSB.
    #[error("not little endian; the guest has to be built for x86-64")]
    NotLittleEndian,
    /// Another machine.
    #[error("built for machine {machine}, not for x86-64 (62)")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// Not ET_EXEC.
    #[error(
        "ELF type {kind} is not an executable at fixed addresses (2); link it statically and without PIE"
    )]
    NotExecutable {
        /// `e_type`.
        kind: u16,
    },
    /// No program headers.
    #[error("no program headers, so nothing to load; is it an object file?")]
    NoSegments,
    /// Program headers of no known shape.
    #[error(
        "{count} program headers of {entry_bytes} bytes each, not up to 65534 of 56; the file is damaged"
    )]
    ProgramHeaders {
        /// `e_phentsize`.
        entry_bytes: u16,
        /// `e_phnum`.
        count: u16,
    },
    /// The file ends before something it says it has.
    #[error("truncated: {part} end at byte {needed}, the file at byte {length}; copy it again")]
    Truncated {
        /// What is cut.
        part: Part,
        /// The file would need this many bytes at least.
        needed: u64,
        /// Bytes of the file.
        length: usize,
    },
    /// More bytes in the file than in memory.
    #[error(
        "segment at {gpa:#x}: {file_bytes} bytes in the file but {mem_bytes} in memory; the file is damaged"
    )]
    FileBeyondMemory {
        /// Load address.
        gpa: u64,
        /// `p_filesz`.
        file_bytes: u64,
        /// `p_memsz`.
        mem_bytes: u64,
    },
    /// A segment runs past the end of the address space.
    #[error(
        "segment at {gpa:#x} with {mem_bytes:#x} bytes runs past the end of the address space; the file is damaged"
    )]
    AddressOverflow {
        /// Load address.
        gpa: u64,
        /// `p_memsz`.
        mem_bytes: u64,
    },
    /// Two segments share memory.
    #[error(
        "segments overlap: {first:#x}..{first_end:#x} and {second:#x}..{second_end:#x}; link them apart"
    )]
    Overlap {
        /// Start of the lower one.
        first: u64,
        /// Its end.
        first_end: u64,
        /// Start of the other.
        second: u64,
        /// Its end.
        second_end: u64,
    },
    /// A note's name or descriptor runs out of its segment.
    #[error(
        "truncated: the note at byte {offset} runs out of its segment of {length} bytes; the file is damaged"
    )]
    NoteTruncated {
        /// Offset of the note within its segment.
        offset: usize,
        /// Bytes of the segment.
        length: usize,
    },
    /// A note we know whose descriptor is no address.
    #[error("note {name} {kind}: a descriptor of {bytes} bytes is no address; it takes 4 or 8")]
    NoteDescriptor {
        /// Owner.
        name: String,
        /// Type.
        kind: u32,
        /// Size of the descriptor.
        bytes: usize,
    },
    /// No XEN_ELFNOTE_PHYS32_ENTRY.
    #[error("no PVH entry point (ELF note Xen 18); Linux has it with CONFIG_PVH=y")]
    NoPvhNote,
    /// The entry point is not in what is loaded.
    #[error(
        "PVH entry point {entry:#x} is in no segment below 4 GiB; the note or the link addresses are wrong"
    )]
    EntryOutside {
        /// The note's address.
        entry: u64,
    },
    /// The stub page or the results are not on a page boundary.
    #[error("the {what} at {gpa:#x} is not aligned to 4096 bytes; align it in the linker script")]
    AreaMisaligned {
        /// Which.
        what: &'static str,
        /// The note's address.
        gpa: u64,
    },
    /// The stub page or the results are not in what is loaded.
    #[error(
        "the {what}, {bytes} bytes at {gpa:#x}, is in no segment; the note has to give its physical address"
    )]
    AreaOutside {
        /// Which.
        what: &'static str,
        /// The note's address.
        gpa: u64,
        /// Its size.
        bytes: u64,
    },
    /// The entry point of a Linux without PVH is not in what is loaded.
    #[error(
        "no PVH entry point, and the ELF entry point {entry:#x} is in no segment; give a bzImage, or set CONFIG_PVH=y"
    )]
    LinuxEntryOutside {
        /// `e_entry`.
        entry: u64,
    },
}

/// A part of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The file header.
    Header,
    /// The program headers.
    ProgramHeaders,
    /// The section headers.
    SectionHeaders,
    /// The data of a PT_LOAD segment.
    Segment {
        /// Its load address.
        gpa: u64,
    },
    /// The data of a PT_NOTE segment.
    Notes,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the bytes of the ELF header"),
            Self::ProgramHeaders => f.write_str("the program headers"),
            Self::SectionHeaders => f.write_str("the section headers"),
            Self::Segment { gpa } => write!(f, "the bytes of the segment at {gpa:#x}"),
            Self::Notes => f.write_str("the notes"),
        }
    }
}
