//! Frames over a connection.

use std::io::{self, IoSlice};

use super::batch::{BadBatch, Batch, Counts, Table};
use super::fields::BadMessage;
use super::frame::{self, BadHeader, HEADER_BYTES, Header, Kind};
use super::link::Link;
use super::message::Message;
use super::pace::{Pace, Patience, TooSlow};

/// What is wrong with a connection or with what comes over it.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer has closed it, or is dead.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer keeps us waiting.
    #[error(transparent)]
    TooSlow(TooSlow),
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// No frame.
    #[error(transparent)]
    Header(#[from] BadHeader),
    /// A frame with other bytes than were sent.
    #[error("a frame of kind {kind} has CRC {found:08x}, expected {expected:08x}: damaged")]
    Checksum {
        /// Number of its kind.
        kind: u32,
        /// What the frame says.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// No message.
    #[error(transparent)]
    Message(#[from] BadMessage),
    /// No pages.
    #[error(transparent)]
    Batch(#[from] BadBatch),
    /// A frame that has no place here.
    #[error("the peer sent a frame of kind {found} while {wanted} was due")]
    Unexpected {
        /// Number of its kind.
        found: u32,
        /// What was due.
        wanted: &'static str,
    },
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::WriteZero => Self::Closed,
            io::ErrorKind::TimedOut => match error.downcast() {
                Ok(too_slow) => Self::TooSlow(too_slow),
                Err(error) => Self::Io(error),
            },
            _ => Self::Io(error),
        }
    }
}

/// A frame that has begun to arrive.
#[derive(Debug)]
pub(super) enum Incoming {
    /// All of it.
    Message(Message),
    /// Pages, up to their data, which [`Wire::read_data`] reads.
    Pages(Table),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Wire {
    link: Box<dyn Link>,
    pace: Pace,
    header: [u8; HEADER_BYTES],
    /// Bytes of `header` that have arrived.
    arrived: usize,
    body: Vec<u8>,
    moved: u64,
}

impl Wire {
    pub(super) fn new(link: Box<dyn Link>, pace: Pace) -> Self {
        Self {
            link,
            pace,
            header: [0; HEADER_BYTES],
            arrived: 0,
            body: Vec::new(),
            moved: 0,
        }
    }

    /// How long the peer may keep us waiting.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Bytes of frames sent and received.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    pub(super) fn send(&mut self, message: &Message) -> Result<(), WireError> {
        let body = message.encode();
        let header = Header::bytes(message.kind(), &body, 0);
        self.write_all([&header, &body, &[]])
    }

    /// Says a last thing and stays until the peer has heard it, or a third of a second.
    pub(super) fn send_last(&mut self, message: &Message) {
        // It may have gone: nobody to tell, then.
        if self.send(message).is_ok() {
            self.link.part();
        }
    }

    pub(super) fn send_pages(&mut self, batch: &Batch) -> Result<(), WireError> {
        let mut head = std::mem::take(&mut self.body);
        head.clear();
        let data = batch.encode(&mut head);
        let header = Header::bytes(Kind::Pages, &head, data.len());
        let result = self.write_all([&header, &head, data]);
        self.body = head;
        result
    }

    fn write_all(&mut self, parts: [&[u8]; 3]) -> Result<(), WireError> {
        self.moved += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let mut slices = parts.map(IoSlice::new);
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.link.write_vectored(rest)? {
                0 => return Err(WireError::Closed),
                written => IoSlice::advance_slices(&mut rest, written),
            }
        }
        Ok(self.link.flush()?)
    }

    /// Waits for a frame.
    pub(super) fn receive(&mut self) -> Result<Incoming, WireError> {
        self.pace.set_patience(Patience::Budget);
        while !self.read_header()? {}
        self.read_body()
    }

    /// Waits for a frame that is not pages.
    pub(super) fn receive_message(&mut self, wanted: &'static str) -> Result<Message, WireError> {
        match self.receive()? {
            Incoming::Message(message) => Ok(message),
            Incoming::Pages(_) => Err(WireError::Unexpected {
                found: Kind::Pages.number(),
                wanted,
            }),
        }
    }

    /// The next message if one comes within a slice.
    pub(super) fn poll_message(
        &mut self,
        wanted: &'static str,
    ) -> Result<Option<Message>, WireError> {
        self.pace.set_patience(Patience::Slice);
        let complete = self.read_header();
        self.pace.set_patience(Patience::Budget);
        match complete {
            Ok(false) => Ok(None),
            Ok(true) => match self.read_body()? {
                Incoming::Message(message) => Ok(Some(message)),
                Incoming::Pages(_) => Err(WireError::Unexpected {
                    found: Kind::Pages.number(),
                    wanted,
                }),
            },
            Err(error) => Err(error),
        }
    }

    /// Whether not a byte of a frame has arrived.
    pub(super) fn is_silent(&self) -> bool {
        self.arrived == 0 && self.moved == 0
    }

    /// Reads on in the header. Whether it is complete.
    fn read_header(&mut self) -> Result<bool, WireError> {
        while self.arrived < HEADER_BYTES {
            match self.link.read(&mut self.header[self.arrived..]) {
                // An alert of TLS is shorter than a header.
                Ok(0) if frame::is_tls(&self.header[..self.arrived]) => {
                    return Err(BadHeader::Tls.into());
                }
                Ok(0) => return Err(WireError::Closed),
                Ok(bytes) => self.arrived += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn read_body(&mut self) -> Result<Incoming, WireError> {
        self.arrived = 0;
        let header = Header::parse(&self.header)?;
        self.moved += (HEADER_BYTES + header.length) as u64;
        if header.kind == Kind::Pages {
            return self.read_table(header);
        }
        self.body.resize(header.length, 0);
        self.link.read_exact(&mut self.body)?;
        self.check(header)?;
        Ok(Incoming::Message(Message::decode(header.kind, &self.body)?))
    }

    fn read_table(&mut self, header: Header) -> Result<Incoming, WireError> {
        if header.length < Counts::BYTES {
            return Err(BadBatch::Counts.into());
        }
        let mut counts = [0; Counts::BYTES];
        self.link.read_exact(&mut counts)?;
        let parsed = Counts::parse(counts, header.length)?;
        self.body.clear();
        self.body.extend(counts);
        self.body.resize(Counts::BYTES + parsed.table_bytes(), 0);
        self.link.read_exact(&mut self.body[Counts::BYTES..])?;
        self.check(header)?;
        Ok(Incoming::Pages(parsed.table(&self.body[Counts::BYTES..])?))
    }

    fn check(&self, header: Header) -> Result<(), WireError> {
        let found = frame::checksum(&self.header, &self.body);
        if found == header.crc {
            return Ok(());
        }
        Err(WireError::Checksum {
            kind: header.kind.number(),
            expected: header.crc,
            found,
        })
    }

    /// Reads the data of a Pages frame.
    pub(super) fn read_data(&mut self, data: &mut [u8]) -> Result<(), WireError> {
        Ok(self.link.read_exact(data)?)
    }
}
