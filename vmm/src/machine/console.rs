//! The guest's console in this process: standard input, on its way to the serial port.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use vmm_sys_util::eventfd::EventFd;

use super::console_keys::{HELP, Key, Keys};
use crate::device::serial::SerialPort;
use crate::device::serial_input::{INPUT_BYTES_AT_ONCE, Room};
use crate::os::readable::wait_until_readable;
use crate::os::terminal::RawTerminal;
use crate::report::output;

/// Where input comes from.
#[derive(Debug)]
enum Source {
    /// A terminal. Some keys are ours.
    Terminal(RawTerminal, Keys),
    /// A pipe, a file or whatever else: every byte is the guest's.
    Stream(File),
}

/// What a look at the input found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Something for the guest, or nothing; there may be more.
    Input,
    /// The guest has to read first. [`Console::bell`] rings when it has.
    NoRoom,
    /// The input's end. The guest goes on without.
    End,
    /// The user wants to leave.
    Leave,
}

/// Input for a guest.
#[derive(Debug)]
pub struct Console {
    source: Source,
    room: EventFd,
}

impl Console {
    /// Connects standard input to `serial`; nothing if it is the terminal of another job.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn connect(serial: &SerialPort) -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        let file = File::from(stdin.as_fd().try_clone_to_owned()?);
        let source = if stdin.is_terminal() {
            let Some(terminal) = RawTerminal::take(file)? else {
                return Ok(None);
            };
            Source::Terminal(terminal, Keys::default())
        } else {
            Source::Stream(file)
        };
        Self::from_source(source, serial).map(Some)
    }

    fn from_source(source: Source, serial: &SerialPort) -> io::Result<Self> {
        let room = serial.connect_input()?;
        Ok(Self { source, room })
    }

    fn file(&self) -> &File {
        match &self.source {
            Source::Terminal(terminal, _) => terminal.file(),
            Source::Stream(file) => file,
        }
    }

    /// Whether a person types.
    pub fn is_terminal(&self) -> bool {
        matches!(self.source, Source::Terminal(..))
    }

    /// Readable when there is input.
    pub fn input(&self) -> RawFd {
        self.file().as_raw_fd()
    }

    /// Readable when there is room again after [`Found::NoRoom`].
    pub fn bell(&self) -> RawFd {
        self.room.as_raw_fd()
    }

    /// Hears the bell.
    pub fn hear(&self) {
        // It may have been heard before.
        let _ = self.room.read();
    }

    /// Reads what there is, once, without waiting, and gives it to `serial`.
    pub fn read(&mut self, serial: &SerialPort) -> Found {
        if !wait_until_readable(self.file().as_fd(), Duration::ZERO) {
            return Found::Input;
        }
        let mut bytes = [0; INPUT_BYTES_AT_ONCE];
        let read = match self.file().read(&mut bytes) {
            Ok(0) => return Found::End,
            Ok(read) => read,
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) =>
            {
                return Found::Input;
            }
            // A terminal that went away, a folder: there will be nothing.
            Err(_) => return Found::End,
        };
        let bytes = bytes.get(..read).unwrap_or_default();
        let Source::Terminal(_, keys) = &mut self.source else {
            return found(serial.receive(bytes));
        };
        let mut for_guest = Vec::with_capacity(bytes.len());
        for key in bytes.iter().filter_map(|&byte| keys.read(byte)) {
            match key {
                Key::Byte(byte) => for_guest.push(byte),
                Key::Leave => return Found::Leave,
                Key::Break => {
                    // In the order in which they were pressed.
                    serial.receive(&std::mem::take(&mut for_guest));
                    serial.receive_break();
                }
                Key::Help => output::print_aside(HELP),
            }
        }
        found(serial.receive(&for_guest))
    }
}

fn found(room: Room) -> Found {
    match room {
        Room::Enough => Found::Input,
        Room::None => Found::NoRoom,
    }
}

#[cfg(test)]
#[path = "console_test.rs"]
mod tests;
