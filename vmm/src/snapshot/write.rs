//! Writing a snapshot.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::Path;

use vm_memory::GuestMemoryMmap;

use super::header::{HEADER_BYTES, Header};
use super::limits::{METADATA_BYTES_MAX, PAGE_BYTES, SECTION_BYTES_MAX, SECTIONS_MAX};
use super::memory_map::MemoryMap;
use super::memory_pages::MemoryPages;
use super::new_file::NewFile;
use super::{
    Error, ListedSection, Need, Progress, Section, SectionKind, THIS_WRITER, WriteFault, table,
};
use crate::os::signal;

/// What a snapshot took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Length of the file, its holes included.
    pub file_bytes: u64,
    /// What was written to it.
    pub data_bytes: u64,
    /// Pages of guest memory among that.
    pub pages: u64,
}

/// Writes a snapshot of `sections` and `memory` to `path`, while no vCPU runs. A file that is there
/// is replaced, at once and only by a whole one: whoever has it mapped keeps the old one.
///
/// From the first call on the process ignores SIGXFSZ, so that `ulimit -f` is an error here and not
/// the end of the guest.
///
/// # Errors
/// The file cannot be written. Then whatever stood at `path` is what it was, and nothing else is
/// left behind.
pub fn write(
    path: &Path,
    sections: Vec<Section>,
    memory: &GuestMemoryMmap,
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, Error> {
    save(path, sections, memory, progress).map_err(|fault| Error::new(path, fault))
}

fn save(
    path: &Path,
    mut sections: Vec<Section>,
    memory: &GuestMemoryMmap,
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, WriteFault> {
    signal::ignore_file_size_signal();
    let mut map = MemoryMap::for_memory(memory).map_err(WriteFault::MemoryMap)?;
    sections.push(encode(&map)?);
    let metadata_bytes = check(&sections)?;
    let file_bytes = map.place(metadata_bytes);

    let new = NewFile::create(path, file_bytes)?;
    let write_fault = |error| new.fault(error, file_bytes);
    let pages = MemoryPages::new(new.file()).write(memory, &mut map, progress, write_fault)?;
    // The CRCs of memory are known only now; they change no length.
    sections.pop();
    sections.push(encode(&map)?);
    write_metadata(&new, &sections, file_bytes)?;
    new.put_in_place(file_bytes)?;
    Ok(Written {
        file_bytes,
        data_bytes: metadata_bytes + pages * PAGE_BYTES,
        pages,
    })
}

fn encode(map: &MemoryMap) -> Result<Section, WriteFault> {
    Section::encode(SectionKind::MemoryMap, 0, map)
        .map_err(|error| WriteFault::Sections(error.to_string()))
}

/// The length of header, table and sections, if a reader would take them.
fn check(sections: &[Section]) -> Result<u64, WriteFault> {
    if sections.len() > SECTIONS_MAX as usize {
        return Err(WriteFault::Sections(format!(
            "{} sections are more than {SECTIONS_MAX}",
            sections.len()
        )));
    }
    let mut seen = BTreeSet::new();
    for section in sections {
        let label = section.label();
        if section.content.len() as u64 > SECTION_BYTES_MAX {
            return Err(WriteFault::Sections(format!(
                "the state of {label} has {} bytes, more than {SECTION_BYTES_MAX}",
                section.content.len()
            )));
        }
        if !seen.insert(label) {
            return Err(WriteFault::Sections(format!("there is {label} twice")));
        }
    }
    let content: u64 = sections.iter().map(|s| s.content.len() as u64).sum();
    let bytes = table::sections_start(sections.len()) + content;
    if bytes > METADATA_BYTES_MAX {
        return Err(WriteFault::Sections(format!(
            "{bytes} bytes of state are more than {METADATA_BYTES_MAX}"
        )));
    }
    Ok(bytes)
}

fn write_metadata(new: &NewFile, sections: &[Section], file_bytes: u64) -> Result<(), WriteFault> {
    let put = |bytes: &[u8], offset| {
        new.file()
            .write_all_at(bytes, offset)
            .map_err(|error| new.fault(error, file_bytes))
    };
    let mut offset = table::sections_start(sections.len());
    let mut listed = Vec::with_capacity(sections.len());
    for section in sections {
        let bytes = section.content.len() as u64;
        put(&section.content, offset)?;
        listed.push(ListedSection {
            label: section.label(),
            version: section.kind.version(),
            need: Need::Required,
            offset,
            bytes,
            crc32: crc32fast::hash(&section.content),
        });
        offset += bytes;
    }
    let table = table::to_bytes(&listed);
    put(&table, HEADER_BYTES as u64)?;
    let header = Header {
        section_count: u32::try_from(sections.len()).unwrap_or(u32::MAX),
        table_crc32: crc32fast::hash(&table),
        file_bytes,
        writer: THIS_WRITER.to_owned(),
    };
    put(&header.to_bytes(), 0)
}
