//! A door for the fuzz targets: both sides of a migration, whose peers say bytes. Nothing waits, and
//! nothing but the time limits depends on the clock.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::endpoint::Endpoint;
use super::ends::{Destination, Origin};
use super::error::{Error, ReceiveError, SendError};
use super::fields::MAGIC;
use super::frame::{HEADER_BYTES, Header, Kind};
use super::link::Channel;
use super::options::{Options, ReceiveOptions};
use super::pace::{Pace, Paced};
use super::progress::{Received, Report};
use super::source;
use super::target::Receiver;
use super::transport::{Accept, Dial};
use super::wire::Wire;

/// How long a machine is held, and a COMMIT repeated.
const COMMIT_TIMEOUT: Duration = Duration::from_millis(2);
/// Where a Hello has its session: behind magic, version and purpose.
const SESSION_AT: usize = HEADER_BYTES + MAGIC.len() + 4;
const SESSION_BYTES: usize = 16;

/// What a source says over each of its connections reaches a target with `destination`.
///
/// # Errors
/// As [`Receiver::receive`].
pub fn receive(
    connections: Vec<Vec<u8>>,
    destination: &mut dyn Destination,
) -> Result<Received, ReceiveError> {
    let options = ReceiveOptions {
        commit_timeout: COMMIT_TIMEOUT,
        ..ReceiveOptions::default()
    };
    let visitors = Visitors {
        left: connections.into(),
        nobody_comes: Arc::clone(&options.cancel),
    };
    let address = Endpoint::Unix("nowhere".into());
    Receiver::on(Box::new(visitors), address, options).receive(destination, &mut |_| ())
}

/// A source with `origin` hears what a target says over each connection: `say` makes it of the
/// session that the source has drawn.
///
/// # Errors
/// As [`source::send`].
pub fn send(
    origin: &mut dyn Origin,
    say: impl Fn([u8; SESSION_BYTES]) -> Vec<Vec<u8>> + Send + Sync + 'static,
) -> Result<Report, SendError> {
    let options = Options {
        commit_timeout: COMMIT_TIMEOUT,
        ..Options::default()
    };
    let mut target = Answers {
        say: Arc::new(say),
        connections: 0,
    };
    source::migrate(origin, &mut target, &options, &mut |_| ())
}

/// The frame of this kind with this body, whose checksum covers all but the last `data` bytes;
/// `None` where there is no such kind.
pub fn frame(kind: u32, body: &[u8], data: usize) -> Option<Vec<u8>> {
    let (head, data) = body.split_at(body.len().saturating_sub(data));
    let header = Header::bytes(Kind::from_number(kind)?, head, data.len());
    Some([&header, head, data].concat())
}

/// A connection on which everything has been said already.
#[derive(Debug)]
struct Said(VecDeque<u8>);

impl Read for Said {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Said {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Channel for Said {
    fn set_slice(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn end_writing(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Visitors {
    left: VecDeque<Vec<u8>>,
    nobody_comes: Arc<AtomicBool>,
}

impl Accept for Visitors {
    fn wait(&self, _: Duration) {
        self.nobody_comes.store(true, Relaxed);
    }

    fn accept(&mut self) -> io::Result<Option<Box<dyn Channel>>> {
        let next = self.left.pop_front();
        Ok(next.map(|said| Box::new(Said(said.into())) as Box<dyn Channel>))
    }

    fn protect(&mut self, channel: Box<dyn Channel>, pace: Pace) -> Result<Wire, Error> {
        wire(channel, pace)
    }
}

type Say = Arc<dyn Fn([u8; SESSION_BYTES]) -> Vec<Vec<u8>> + Send + Sync>;

struct Answers {
    say: Say,
    connections: usize,
}

impl Dial for Answers {
    fn dial(&mut self, _: Duration, pace: Pace) -> Result<Wire, Error> {
        let number = self.connections;
        self.connections += 1;
        // As many as there are for any session.
        if number >= (self.say)([0; SESSION_BYTES]).len() {
            let refused = io::ErrorKind::ConnectionRefused.into();
            return Err(Error::Connect(self.target(), refused));
        }
        let answer = Answer {
            say: Arc::clone(&self.say),
            number,
            heard: Vec::new(),
            said: None,
        };
        wire(Box::new(answer), pace)
    }

    fn target(&self) -> String {
        "bytes".to_owned()
    }
}

/// A connection on which all is said once the source has named its session.
struct Answer {
    say: Say,
    number: usize,
    /// The beginning of what the source says.
    heard: Vec<u8>,
    said: Option<VecDeque<u8>>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl Read for Answer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let said = self.said.get_or_insert_with(|| {
            let session = self.heard.get(SESSION_AT..).and_then(<[u8]>::first_chunk);
            let said = (self.say)(session.copied().unwrap_or_default());
            said.into_iter().nth(self.number).unwrap_or_default().into()
        });
        said.read(buf)
    }
}

impl Write for Answer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let room = (SESSION_AT + SESSION_BYTES).saturating_sub(self.heard.len());
        self.heard.extend(buf.iter().take(room));
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Channel for Answer {
    fn set_slice(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn end_writing(&self) -> io::Result<()> {
        Ok(())
    }
}

fn wire(channel: Box<dyn Channel>, pace: Pace) -> Result<Wire, Error> {
    let paced = Paced::new(channel, pace.clone()).map_err(|error| Error::Wire(error.into()))?;
    Ok(Wire::new(Box::new(paced), pace))
}
