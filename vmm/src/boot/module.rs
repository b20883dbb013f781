//! Files that a guest is given beside its image: the initrd of Linux, the modules of PVH and
//! multiboot.

use std::ops::Range;

use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::layout;

/// Modules start on a page.
const PAGE_BYTES: u64 = 4096;
/// Where initramfs archives start that follow one another (the kernel's
/// `Documentation/driver-api/early-userspace/buffer-format.rst`).
const ARCHIVE_ALIGN: usize = 4;

/// A file with the words that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its path and arguments, as asked for.
    pub command_line: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// Where a module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedModule {
    /// Guest-physical address.
    pub gpa: u64,
    /// Its size.
    pub bytes: u64,
    /// Its path and arguments.
    pub command_line: String,
}

/// Which end of the free memory modules go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Right behind the image, as multiboot loaders do.
    Low,
    /// As high as possible, out of the way of a kernel that unpacks itself.
    High,
}

/// Why modules cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They do not fit.
    #[error(
        "the initrd of {bytes} bytes does not fit guest memory between the kernel's end at {:#x} and {:#x}; give the guest more with --memory",
        room.start,
        room.end
    )]
    NoRoom {
        /// Size of all of them, in whole pages.
        bytes: u64,
        /// What is free.
        room: Range<u64>,
    },
    /// There are too many.
    #[error("{0} initrds; {most} are the most", most = layout::MODULES_MAX)]
    TooMany(usize),
    /// Their command lines are too long.
    #[error(
        "the initrds' names and arguments have more than {} bytes; shorten them",
        layout::MODULE_STRINGS_BYTES
    )]
    StringsTooLong,
    /// An argument ends early.
    #[error(
        "the initrd `{0}` has a NUL in its arguments, where the guest would end them; remove it"
    )]
    Nul(String),
    /// They do not reach guest memory.
    #[error("guest memory cannot be written")]
    Memory(#[from] GuestMemoryError),
}

/// Makes one of several, as Linux takes them: archives that follow one another, each aligned to 4.
pub fn joined(modules: Vec<Module>) -> Vec<Module> {
    if modules.len() < 2 {
        return modules;
    }
    let mut content = Vec::new();
    for module in modules {
        content.resize(content.len().next_multiple_of(ARCHIVE_ALIGN), 0);
        content.extend_from_slice(&module.content);
    }
    vec![Module {
        command_line: String::new(),
        content,
    }]
}

/// Checks that the lists have room for `modules`, and their command lines.
///
/// # Errors
/// [`Error::TooMany`], [`Error::StringsTooLong`], [`Error::Nul`].
pub fn check(modules: &[Module]) -> Result<(), Error> {
    check_count(modules.len())?;
    check_strings(modules.iter().map(|module| module.command_line.as_str()))
}

fn check_count(count: usize) -> Result<(), Error> {
    if count > layout::MODULES_MAX {
        return Err(Error::TooMany(count));
    }
    Ok(())
}

fn check_strings<'a>(mut strings: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let room = strings.try_fold(layout::MODULE_STRINGS_BYTES, |room, text| {
        if text.contains('\0') {
            return Err(Error::Nul(text.to_owned()));
        }
        // One more for the NUL that ends it.
        room.checked_sub(text.len() as u64 + 1)
            .ok_or(Error::StringsTooLong)
    });
    room.map(drop)
}

/// Finds places for modules of these sizes in `room`, each on its own pages and in this order.
///
/// # Errors
/// [`Error::NoRoom`].
pub fn place(sizes: &[u64], room: &Range<u64>, end: End) -> Result<Vec<u64>, Error> {
    let pages = |bytes: u64| bytes.checked_next_multiple_of(PAGE_BYTES);
    let total = sizes
        .iter()
        .try_fold(0_u64, |total, &bytes| total.checked_add(pages(bytes)?));
    let no_room = || Error::NoRoom {
        bytes: total.unwrap_or(u64::MAX),
        room: room.clone(),
    };
    let bytes = total.ok_or_else(no_room)?;
    let top = room.end - room.end % PAGE_BYTES;
    let bottom = pages(room.start).ok_or_else(no_room)?;
    let mut gpa = match (end, top.checked_sub(bytes)) {
        (End::Low, Some(highest)) if bottom <= highest => bottom,
        (End::High, Some(highest)) if bottom <= highest => highest,
        _ => return Err(no_room()),
    };
    Ok(sizes
        .iter()
        .map(|&bytes| {
            let placed = gpa;
            gpa += bytes.next_multiple_of(PAGE_BYTES);
            placed
        })
        .collect())
}

/// Writes the modules' contents to where they are placed.
///
/// # Errors
/// [`Error::Memory`].
pub fn write(
    memory: &GuestMemoryMmap,
    modules: &[Module],
    places: &[u64],
) -> Result<Vec<PlacedModule>, Error> {
    modules
        .iter()
        .zip(places)
        .map(|(module, &gpa)| {
            memory.write_slice(&module.content, GuestAddress(gpa))?;
            Ok(PlacedModule {
                gpa,
                bytes: module.content.len() as u64,
                command_line: module.command_line.clone(),
            })
        })
        .collect()
}

/// How many there are.
///
/// # Errors
/// [`Error::TooMany`].
pub fn count(modules: &[PlacedModule]) -> Result<u32, Error> {
    check_count(modules.len())?;
    u32::try_from(modules.len()).map_err(|_| Error::TooMany(modules.len()))
}

/// Writes the modules' command lines, each with its NUL, and returns where each is.
///
/// # Errors
/// [`Error::StringsTooLong`], [`Error::Nul`], [`Error::Memory`].
pub(super) fn write_strings(
    memory: &GuestMemoryMmap,
    modules: &[PlacedModule],
) -> Result<Vec<u64>, Error> {
    check_strings(modules.iter().map(|module| module.command_line.as_str()))?;
    let mut bytes = Vec::new();
    let mut places = Vec::with_capacity(modules.len());
    for module in modules {
        places.push(layout::MODULE_STRINGS + bytes.len() as u64);
        bytes.extend_from_slice(module.command_line.as_bytes());
        bytes.push(0);
    }
    memory.write_slice(&bytes, GuestAddress(layout::MODULE_STRINGS))?;
    Ok(places)
}

#[cfg(test)]
#[path = "module_test.rs"]
mod tests;
