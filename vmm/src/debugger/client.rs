//! One debugger's connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use gdbstub::conn::Connection;

/// A debugger that does not read its answers for this long has gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer is sent when it is done, or this long.
const SEND_BYTES: usize = 16 << 10;

/// The stream.
#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A debugger.
#[derive(Debug)]
pub(super) struct Client {
    stream: Stream,
    /// What of an answer is there so far.
    answer: Vec<u8>,
}

impl Client {
    fn new(stream: Stream) -> Self {
        let answer = Vec::new();
        Self { stream, answer }
    }

    /// Over a Unix socket.
    pub(super) fn unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::new(Stream::Unix(stream)))
    }

    /// Over TCP.
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // Packets are small, and each waits for the answer to the one before.
        stream.set_nodelay(true)?;
        Ok(Self::new(Stream::Tcp(stream)))
    }

    /// What has come; 0 bytes when the debugger has gone. Only when there is something to read.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Unix(stream) => stream.read(into),
            Stream::Tcp(stream) => stream.read(into),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let answer = std::mem::take(&mut self.answer);
        match &mut self.stream {
            Stream::Unix(stream) => Write::write_all(stream, &answer),
            Stream::Tcp(stream) => Write::write_all(stream, &answer),
        }
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        match &self.stream {
            Stream::Unix(stream) => stream.as_raw_fd(),
            Stream::Tcp(stream) => stream.as_raw_fd(),
        }
    }
}

impl Connection for Client {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.write_all(&[byte])
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.answer.extend_from_slice(bytes);
        if self.answer.len() >= SEND_BYTES {
            self.send()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
