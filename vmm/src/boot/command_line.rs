//! The guest's command line: checked, and put where every boot protocol points to.

use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::layout;

/// The most bytes our room takes, without the NUL that ends them.
pub const ROOM: u64 = layout::COMMAND_LINE_BYTES - 1;

/// The most bytes of it that Linux reads on x86, without the NUL (`COMMAND_LINE_SIZE`).
pub const LINUX: u64 = 2047;

/// Why a command line cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is too long.
    #[error(
        "the guest's command line has {length} bytes{}; {most} are the most it takes, shorten it",
        of_them(*added)
    )]
    TooLong {
        /// Its length.
        length: usize,
        /// How many of these the user did not give.
        added: usize,
        /// The guest's limit, or that of our room.
        most: u64,
    },
    /// It ends early.
    #[error(
        "the guest's command line has a NUL at byte {at}, where the guest would end it; remove it"
    )]
    Nul {
        /// Where.
        at: usize,
    },
    /// It does not reach guest memory.
    #[error(
        "guest memory does not reach the command line at {:#x}",
        layout::COMMAND_LINE
    )]
    Memory(#[source] GuestMemoryError),
}

/// What of a command line the user cannot shorten.
fn of_them(added: usize) -> String {
    match added {
        0 => String::new(),
        _ => format!(", of them {added} that this host makes necessary"),
    }
}

/// Checks that `text`, of which `added` bytes are not the user's, is none that a guest which takes `most` bytes would cut.
///
/// # Errors
/// [`Error::TooLong`], [`Error::Nul`].
pub fn check(text: &str, added: usize, most: u64) -> Result<(), Error> {
    let length = text.len();
    let most = most.min(ROOM);
    if length as u64 > most {
        return Err(Error::TooLong {
            length,
            added,
            most,
        });
    }
    match text.bytes().position(|byte| byte == 0) {
        Some(at) => Err(Error::Nul { at }),
        None => Ok(()),
    }
}

/// Writes `text` with its NUL to [`layout::COMMAND_LINE`].
///
/// # Errors
/// [`Error`]; nothing is written where it is refused.
pub fn write(memory: &GuestMemoryMmap, text: &str, most: u64) -> Result<(), Error> {
    check(text, 0, most)?;
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    memory
        .write_slice(&bytes, GuestAddress(layout::COMMAND_LINE))
        .map_err(Error::Memory)
}

#[cfg(test)]
#[path = "command_line_test.rs"]
mod tests;
