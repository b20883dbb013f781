//! The notes of an ELF image: where a PVH guest is entered, and where our pages are.

use guest_payload::abi::handshake::Handshake;
use guest_payload::abi::{
    NOTE_HANDSHAKE, NOTE_NAME, NOTE_RESULTS, NOTE_STUB_PAGE, Results, StubPage,
};

use super::elf_error::Error;

/// Xen's `XEN_ELFNOTE_PHYS32_ENTRY`.
const XEN_PHYS32_ENTRY: u32 = 18;
const XEN_NAME: &[u8] = b"Xen\0";
/// Owner of the notes that Linux has about itself (`include/linux/elfnote-lto.h`, `build-salt.h`).
const LINUX_NAME: &[u8] = b"Linux\0";
/// `n_namesz`, `n_descsz`, `n_type`.
const HEADER_BYTES: usize = 12;

/// What the notes of an image say. Of two notes of a kind the first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) owner: Owner,
    pub(super) pvh_entry: Option<u64>,
    pub(super) stub_page: Option<u64>,
    pub(super) results: Option<u64>,
    pub(super) handshake: Option<u64>,
}

/// Whose an image is, as far as its notes tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Owner {
    #[default]
    Unknown,
    /// It names a page of ours: a guest of this project.
    Ours,
    /// It has notes of Linux.
    Linux,
}

impl Notes {
    /// Adds what `later` has and this has not.
    pub(super) fn merge(&mut self, later: Self) {
        if self.owner == Owner::Unknown {
            self.owner = later.owner;
        }
        self.pvh_entry = self.pvh_entry.or(later.pvh_entry);
        self.stub_page = self.stub_page.or(later.stub_page);
        self.results = self.results.or(later.results);
        self.handshake = self.handshake.or(later.handshake);
    }

    fn have_addresses(&self) -> bool {
        let pages = self.stub_page.or(self.results).or(self.handshake);
        self.pvh_entry.or(pages).is_some()
    }

    /// Name, address and size of each area that is named.
    pub(super) fn areas(&self) -> impl Iterator<Item = (&'static str, u64, u64)> + use<> {
        let area = |what, gpa: Option<u64>, bytes: usize| Some((what, gpa?, bytes as u64));
        [
            area("stub page", self.stub_page, size_of::<StubPage>()),
            area("results page", self.results, size_of::<Results>()),
            area("handshake page", self.handshake, size_of::<Handshake>()),
        ]
        .into_iter()
        .flatten()
    }
}

/// Reads one PT_NOTE segment.
///
/// The ELF-64 format aligns a note's name and descriptor to 8 bytes, GNU tools to `p_align`, and
/// kernels write notes aligned to 4 into segments that say 8. So both are tried, and the one that
/// finds a note of ours wins.
pub(super) fn read_notes(segment: &[u8], align: u64) -> Result<Notes, Error> {
    let first = walk(segment, 4);
    if align != 8 || first.as_ref().is_ok_and(Notes::have_addresses) {
        return first;
    }
    match (first, walk(segment, 8)) {
        (Ok(mut notes), Ok(second)) => {
            notes.merge(second);
            Ok(notes)
        }
        (first, second) => second.or(first),
    }
}

fn walk(segment: &[u8], align: usize) -> Result<Notes, Error> {
    let mut notes = Notes::default();
    let mut at = 0;
    // Linkers pad between and behind notes with zeros, which would read as empty notes.
    while segment
        .get(at..)
        .is_some_and(|rest| rest.iter().any(|byte| *byte != 0))
    {
        let truncated = Error::NoteTruncated {
            offset: at,
            length: segment.len(),
        };
        let (note, next) = note_at(segment, at, align).ok_or(truncated)?;
        notes.merge(note.meaning()?);
        at = next;
    }
    Ok(notes)
}

struct Note<'a> {
    name: &'a [u8],
    kind: u32,
    descriptor: &'a [u8],
}

/// The note at offset `at` and the offset of the next; `None` where it does not fit.
fn note_at(segment: &[u8], at: usize, align: usize) -> Option<(Note<'_>, usize)> {
    let (header, _) = segment.get(at..)?.split_first_chunk::<HEADER_BYTES>()?;
    let word = |index: usize| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|byte| header[4 * index + byte]);
        u32::from_le_bytes([a, b, c, d])
    };
    let name = at.checked_add(HEADER_BYTES)?;
    let name_end = name.checked_add(usize::try_from(word(0)).ok()?)?;
    let descriptor = name_end.checked_next_multiple_of(align)?;
    let descriptor_end = descriptor.checked_add(usize::try_from(word(1)).ok()?)?;
    let note = Note {
        name: segment.get(name..name_end)?,
        kind: word(2),
        descriptor: segment.get(descriptor..descriptor_end)?,
    };
    // The padding behind the last descriptor may be missing.
    Some((note, descriptor_end.checked_next_multiple_of(align)?))
}

impl Note<'_> {
    fn meaning(&self) -> Result<Notes, Error> {
        let mut notes = Notes::default();
        match (self.name, self.kind) {
            (XEN_NAME, XEN_PHYS32_ENTRY) => notes.pvh_entry = Some(self.address()?),
            (name, NOTE_STUB_PAGE) if name == NOTE_NAME => {
                notes.owner = Owner::Ours;
                notes.stub_page = Some(self.address()?);
            }
            (name, NOTE_RESULTS) if name == NOTE_NAME => {
                notes.owner = Owner::Ours;
                notes.results = Some(self.address()?);
            }
            (name, NOTE_HANDSHAKE) if name == NOTE_NAME => {
                notes.owner = Owner::Ours;
                notes.handshake = Some(self.address()?);
            }
            (LINUX_NAME, _) => notes.owner = Owner::Linux,
            _ => {}
        }
        Ok(notes)
    }

    /// The descriptor as an address: 8 bytes, or 4 as in the PVH documents.
    fn address(&self) -> Result<u64, Error> {
        if let Ok(bytes) = self.descriptor.try_into() {
            Ok(u64::from_le_bytes(bytes))
        } else if let Ok(bytes) = self.descriptor.try_into() {
            Ok(u32::from_le_bytes(bytes).into())
        } else {
            Err(Error::NoteDescriptor {
                name: String::from_utf8_lossy(self.name)
                    .trim_end_matches('\0')
                    .to_owned(),
                kind: self.kind,
                bytes: self.descriptor.len(),
            })
        }
    }
}
