//! All of a snapshot but its memory, read and checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::de::DeserializeOwned;

use super::header::{HEADER_BYTES, Header};
use super::limits::PAGE;
use super::memory_map::{MemoryMap, memory_start};
use super::section::decode;
use super::{
    Fault, HeaderFault, Label, ListedSection, MemoryRegion, SectionFault, SectionKind, SectionName,
    TableFault, table,
};

/// Header, sections and memory map of a snapshot, every byte of them checked.
#[derive(Debug)]
pub struct Metadata {
    writer: String,
    listed: Vec<ListedSection>,
    /// One for each of `listed`; `None` for those that this vmm does not know and may skip.
    contents: Vec<Option<Vec<u8>>>,
    memory: MemoryMap,
}

/// A file, or bytes that could be one.
pub(super) trait ReadAt {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Metadata {
    /// Reads what is in `bytes`, as if they were a file.
    ///
    /// # Errors
    /// They are no snapshot, or a damaged one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        Self::read(bytes, bytes.len() as u64)
    }

    /// Reads it from `source`, which has `file_bytes`.
    pub(super) fn read<S: ReadAt + ?Sized>(source: &S, file_bytes: u64) -> Result<Self, Fault> {
        let mut header = [0; HEADER_BYTES];
        if file_bytes < HEADER_BYTES as u64 {
            return Err(HeaderFault::Short(file_bytes).into());
        }
        source.read_exact_at(&mut header, 0).map_err(Fault::Read)?;
        let header = Header::from_bytes(&header, file_bytes)?;
        let listed = read_table(source, &header)?;
        let mut contents = Vec::with_capacity(listed.len());
        for (index, section) in listed.iter().enumerate() {
            contents.push(read_section(source, file_bytes, index, section)?);
        }
        let end = listed.last().map_or_else(
            || table::sections_start(0),
            |section| section.offset + section.bytes,
        );
        check_padding(source, file_bytes, end)?;
        let map = (SectionKind::MemoryMap, 0);
        let (name, content) =
            find(&listed, &contents, map).ok_or_else(|| missing(map, &header.writer))?;
        let memory: MemoryMap = decode(name, content, &header.writer)?;
        memory.check(end, file_bytes)?;
        Ok(Self {
            writer: header.writer,
            listed,
            contents,
            memory,
        })
    }

    /// What wrote the snapshot, as in `vmm 0.1.0`.
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// The table of sections.
    pub fn sections(&self) -> &[ListedSection] {
        &self.listed
    }

    /// The content of a section.
    pub fn section(&self, kind: SectionKind, instance: u32) -> Option<&[u8]> {
        find(&self.listed, &self.contents, (kind, instance)).map(|(_, content)| content)
    }

    /// The content of a section, decoded.
    ///
    /// # Errors
    /// There is none, or it is not a `T`.
    pub fn decode<T: DeserializeOwned>(
        &self,
        kind: SectionKind,
        instance: u32,
    ) -> Result<T, SectionFault> {
        let (name, content) = find(&self.listed, &self.contents, (kind, instance))
            .ok_or_else(|| missing((kind, instance), &self.writer))?;
        decode(name, content, &self.writer)
    }

    /// The regions of guest memory, in the order of their addresses.
    pub fn memory_regions(&self) -> &[MemoryRegion] {
        &self.memory.regions
    }

    pub(super) fn memory(&self) -> &MemoryMap {
        &self.memory
    }
}

fn read_table<S: ReadAt + ?Sized>(
    source: &S,
    header: &Header,
) -> Result<Vec<ListedSection>, Fault> {
    let start = HEADER_BYTES as u64;
    let end = table::sections_start(header.section_count as usize);
    if end > header.file_bytes {
        return Err(HeaderFault::Field("the number of sections").into());
    }
    let mut bytes = vec![0; header.section_count as usize * table::ENTRY_BYTES];
    source
        .read_exact_at(&mut bytes, start)
        .map_err(Fault::Read)?;
    let found = crc32fast::hash(&bytes);
    let expected = header.table_crc32;
    if found != expected {
        return Err(TableFault::Damaged { found, expected }.into());
    }
    Ok(table::from_bytes(&bytes, &header.writer)?)
}

/// The content of a section, if this vmm knows it. One to be skipped is checked too.
fn read_section<S: ReadAt + ?Sized>(
    source: &S,
    file_bytes: u64,
    index: usize,
    section: &ListedSection,
) -> Result<Option<Vec<u8>>, Fault> {
    let name = SectionName {
        index,
        label: section.label,
    };
    let past_end = TableFault::Field {
        name,
        field: "length",
    };
    if section.offset + section.bytes > file_bytes {
        return Err(past_end.into());
    }
    // The table has bounded it.
    let mut content = vec![0; usize::try_from(section.bytes).map_err(|_| past_end)?];
    source
        .read_exact_at(&mut content, section.offset)
        .map_err(Fault::Read)?;
    let found = crc32fast::hash(&content);
    let expected = section.crc32;
    if found != expected {
        return Err(SectionFault::Damaged {
            name,
            found,
            expected,
        }
        .into());
    }
    Ok(is_known(section).then_some(content))
}

fn is_known(section: &ListedSection) -> bool {
    match section.label {
        Label::Known(kind, _) => section.version <= kind.version(),
        Label::Unknown(..) => false,
    }
}

/// The bytes up to the first page of memory have no CRC of their own.
fn check_padding<S: ReadAt + ?Sized>(source: &S, file_bytes: u64, end: u64) -> Result<(), Fault> {
    let start = memory_start(end).min(file_bytes);
    let mut padding = [0; PAGE];
    let bytes = usize::try_from(start.saturating_sub(end)).unwrap_or(0);
    source
        .read_exact_at(&mut padding[..bytes], end)
        .map_err(Fault::Read)?;
    if padding.iter().all(|byte| *byte == 0) {
        Ok(())
    } else {
        Err(TableFault::Padding.into())
    }
}

fn find<'a>(
    listed: &[ListedSection],
    contents: &'a [Option<Vec<u8>>],
    (kind, instance): (SectionKind, u32),
) -> Option<(SectionName, &'a [u8])> {
    let label = Label::Known(kind, instance);
    let index = listed.iter().position(|section| section.label == label)?;
    let content = contents.get(index)?.as_deref()?;
    Some((SectionName { index, label }, content))
}

fn missing((kind, instance): (SectionKind, u32), writer: &str) -> SectionFault {
    SectionFault::Missing {
        label: Label::Known(kind, instance),
        writer: writer.to_owned(),
    }
}
