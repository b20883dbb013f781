//! The serial port: a 16550A.
//!
//! A reader that does not read must not hold a vCPU's thread in a write for ever: the thread has
//! to stand still or end when it is told to. So it writes only what the reader's side takes at
//! once, and waits for more in between, outside the lock.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::EventFd;

use super::panic_line::PanicLine;
use super::serial_input::{Input, Room};
use super::serial_state::{
    ConsoleState, RestoreError, SerialState, UNSENT_BYTES_MAX, waits_for_interrupt,
};
use crate::os::writable::wait_until_writable;

/// Where the serial port's bytes go.
#[derive(Debug)]
pub enum Output {
    /// A file, a pipe or a terminal. Unbuffered: a byte is out when the guest has written it.
    File(File),
    /// Nowhere.
    Null,
    /// Memory, for `vmm conformance`.
    Buffer(Vec<u8>),
}

/// Captured output stops growing here: the guest decides how much it writes.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// How long a wait for the reader goes on before the vCPU's requests are looked at again. The
/// signal that comes with a request ends the wait at once, unless it came just before.
const PATIENCE: Duration = Duration::from_millis(50);
/// What a pipe that polls writable takes without waiting (`PIPE_BUF`, pipe(7)).
const PIPE_BYTES: usize = 4096;

impl Output {
    /// This process's standard output, or standard error where standard output carries JSON.
    ///
    /// # Errors
    /// What duplicating the descriptor says.
    pub fn stdio(json_on_stdout: bool) -> io::Result<Self> {
        let fd = if json_on_stdout {
            io::stderr().as_fd().try_clone_to_owned()?
        } else {
            io::stdout().as_fd().try_clone_to_owned()?
        };
        Ok(Self::File(File::from(fd)))
    }
}

/// What the guest has sent and nobody has taken yet.
#[derive(Debug, Default)]
struct Unsent {
    bytes: VecDeque<u8>,
    panic_line: PanicLine,
}

impl Write for Unsent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = UNSENT_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend(&bytes[..bytes.len().min(room)]);
        bytes.iter().for_each(|&byte| self.panic_line.read(byte));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The port's interrupt line, if an interrupt controller listens: an edge for each write.
#[derive(Clone, Debug)]
struct Line(Option<Arc<EventFd>>);

impl Trigger for Line {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        if let Some(line) = &self.0 {
            // Only a counter that is full refuses, and then an edge is on its way.
            let _ = line.write(1);
        }
        Ok(())
    }
}

/// Whether a thread that waits for the serial port's reader may go on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It may.
    On,
    /// It is wanted elsewhere.
    Over,
}

/// The port, and what it sends to.
#[derive(Debug)]
struct Port {
    serial: Serial<Line, NoEvents, Unsent>,
    input: Input,
    output: Output,
    /// The most that one write takes without waiting once `output` polls writable.
    write_bytes_max: usize,
}

impl Port {
    /// Gives the guest what waits for it, as far as it takes it.
    fn feed(&mut self) {
        self.input.feed(&mut self.serial);
    }

    fn state(&self) -> SerialState {
        SerialState::new(self.serial.state(), &self.serial.writer().bytes)
    }

    fn console(&self) -> ConsoleState {
        ConsoleState {
            input: self.input.save(),
            panic_line: self.serial.writer().panic_line,
        }
    }

    /// Sends what goes out without waiting for a reader. `Wait::Over` when all is out.
    fn send(&mut self) -> Wait {
        let unsent = &mut self.serial.writer_mut().bytes;
        let file = match &mut self.output {
            Output::File(file) => file,
            Output::Null => {
                unsent.clear();
                return Wait::Over;
            }
            Output::Buffer(buffer) => {
                let room = BUFFER_BYTES_MAX.saturating_sub(buffer.len());
                buffer.extend(unsent.drain(..).take(room));
                return Wait::Over;
            }
        };
        while !unsent.is_empty() {
            if !wait_until_writable(file.as_fd(), Duration::ZERO) {
                return Wait::On;
            }
            let (bytes, _) = unsent.as_slices();
            let bytes = &bytes[..bytes.len().min(self.write_bytes_max)];
            match file.write(bytes) {
                Ok(written) => drop(unsent.drain(..written)),
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) =>
                {
                    return Wait::On;
                }
                // A reader that went away (a closed pipe) or a full disk does not stop the guest.
                Err(_) => unsent.clear(),
            }
        }
        Wait::Over
    }
}

/// A 16550A and what it is connected to.
#[derive(Debug)]
pub struct SerialPort {
    port: Mutex<Port>,
    line: Line,
    /// What to wait for, outside the lock.
    file: Option<File>,
}

impl SerialPort {
    /// Writes what the guest sends to `output`. No interrupt controller listens.
    ///
    /// # Errors
    /// What duplicating the descriptor says.
    pub fn new(output: Output) -> io::Result<Self> {
        Self::with_line(output, Line(None))
    }

    /// The same, with an interrupt: each write to `line`, which must not block, is an edge.
    ///
    /// # Errors
    /// What duplicating the descriptor says.
    pub fn with_interrupt(output: Output, line: Arc<EventFd>) -> io::Result<Self> {
        Self::with_line(output, Line(Some(line)))
    }

    fn with_line(output: Output, line: Line) -> io::Result<Self> {
        let file = match &output {
            Output::File(file) => Some(file.try_clone()?),
            Output::Null | Output::Buffer(_) => None,
        };
        let takes_pages = file.as_ref().and_then(|file| file.metadata().ok());
        let takes_pages = takes_pages.is_some_and(|of| of.is_file() || of.file_type().is_fifo());
        Ok(Self {
            port: Mutex::new(Port {
                serial: Serial::new(line.clone(), Unsent::default()),
                input: Input::default(),
                output,
                // A terminal that polls writable promises a byte.
                write_bytes_max: if takes_pages { PIPE_BYTES } else { 1 },
            }),
            line,
            file,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Port> {
        self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes each of `bytes` to register `offset`, and waits until the output has taken them or
    /// `wait` says that the thread is wanted elsewhere. What is left then goes out, in order, with
    /// the next write or with [`Self::send_rest`].
    pub fn write(&self, offset: u8, bytes: &[u8], wait: impl Fn() -> Wait) {
        let mut port = self.lock();
        for &byte in bytes {
            // `Unsent` takes all there is, and the trigger does not fail.
            let _ = port.serial.write(offset, byte);
        }
        port.input.guest_wrote();
        port.feed();
        while port.send() == Wait::On && wait() == Wait::On {
            drop(port);
            if let Some(file) = &self.file {
                wait_until_writable(file.as_fd(), PATIENCE);
            }
            port = self.lock();
        }
    }

    /// Forgets what is unsent: it goes with the machine to where that goes on.
    pub fn forget_rest(&self) {
        self.lock().serial.writer_mut().bytes.clear();
    }

    /// Sends what a stopped vCPU left, as far as the output takes it without waiting.
    pub fn send_rest(&self) {
        self.lock().send();
    }

    /// Reads register `offset`.
    pub fn read(&self, offset: u8) -> u8 {
        let mut port = self.lock();
        let value = port.serial.read(offset);
        let value = port.input.guest_read(offset, value);
        port.feed();
        value
    }

    /// Connects something that has bytes for the guest. What it gets becomes readable when there
    /// is [`Room`] again after there was none.
    ///
    /// # Errors
    /// What eventfd says.
    pub fn connect_input(&self) -> io::Result<EventFd> {
        let room = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?;
        self.lock().input.set_bell(room.try_clone()?);
        Ok(room)
    }

    /// Bytes for the guest, at most [`INPUT_BYTES_AT_ONCE`](super::serial_input::INPUT_BYTES_AT_ONCE).
    /// They wait until the guest listens and its FIFO has room.
    pub fn receive(&self, bytes: &[u8]) -> Room {
        let mut port = self.lock();
        port.input.push(bytes);
        port.feed();
        port.input.room()
    }

    /// Whether there is room, for who has not given anything yet.
    pub fn room(&self) -> Room {
        self.lock().input.room()
    }

    /// A break condition: what Linux takes for the SysRq key. After what came before.
    pub fn receive_break(&self) {
        let mut port = self.lock();
        let Port { serial, input, .. } = &mut *port;
        input.send_break(serial);
    }

    /// Whether a Linux kernel has said that it panics.
    pub fn saw_kernel_panic(&self) -> bool {
        self.lock().serial.writer().panic_line.seen()
    }

    /// Registers, and what no reader has taken. No vCPU runs.
    pub fn save(&self) -> SerialState {
        self.lock().state()
    }

    /// [`Self::save`] and [`Self::save_console`] of one moment: what the user sends meanwhile is in
    /// both or in neither.
    pub fn save_both(&self) -> (SerialState, ConsoleState) {
        let port = self.lock();
        (port.state(), port.console())
    }

    /// Goes on from `state`; what it has not sent goes out first. No vCPU runs yet.
    ///
    /// # Errors
    /// [`RestoreError::TooMuch`]; nothing has changed then.
    pub fn restore(&self, state: &SerialState) -> Result<(), RestoreError> {
        let registers = state.registers()?;
        let unsent = Unsent {
            bytes: state.unsent.iter().copied().collect(),
            panic_line: PanicLine::default(),
        };
        // `registers` has looked at all that this refuses, and the trigger does not fail.
        if let Ok(serial) = Serial::from_state(&registers, self.line.clone(), NoEvents, unsent) {
            self.lock().serial = serial;
        }
        Ok(())
    }

    /// What [`Self::save`] leaves out, because a bare machine has none of it.
    pub fn save_console(&self) -> ConsoleState {
        self.lock().console()
    }

    /// Goes on from `state`, after [`Self::restore`] and once the interrupt controllers have their
    /// state: an edge that had been sent and not been noticed is sent again.
    pub fn restore_console(&self, state: &ConsoleState) {
        let mut port = self.lock();
        port.input.restore(&state.input);
        port.serial.writer_mut().panic_line = state.panic_line;
        port.feed();
        drop(port);
        self.raise_again();
    }

    /// Sends an interrupt's edge once more, if the guest has not answered it: it may have got lost
    /// while the interrupt controllers were being set.
    pub fn raise_again(&self) {
        if waits_for_interrupt(&self.lock().serial.state()) {
            let Ok(()) = self.line.trigger();
        }
    }

    /// What [`Output::Buffer`] has caught so far.
    pub fn captured(&self) -> Vec<u8> {
        match &self.lock().output {
            Output::Buffer(buffer) => buffer.clone(),
            Output::File(_) | Output::Null => Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "serial_test.rs"]
mod tests;
