//! Connections that break, for tests.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::error::Error;
use super::fake::{Doing, Shared};
use super::link::Channel;
use super::options::ReceiveOptions;
use super::pace::{Pace, Paced};
use super::target;
use super::transport::{Accept, Dial};
use super::wire::Wire;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToTarget,
    ToSource,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It ends.
    Cut,
    /// Nothing comes through any more, and nobody is told.
    Stall,
    /// One bit is another.
    Flip,
}

/// Where it happens: after so many bytes that way, on the first `connections` connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) fault: Fault,
    pub(super) way: Way,
    pub(super) after: usize,
    pub(super) connections: usize,
}

/// The network between two sides.
#[derive(Clone, Debug)]
pub(super) struct Network(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    plan: Option<Plan>,
    made: usize,
    /// Everything that went over the first connection.
    seen: [Vec<u8>; 2],
    /// Nothing comes through, and nobody is reached.
    down: bool,
    /// Not until the target has dropped the machine.
    down_until_dropped: Option<Shared>,
}

impl Network {
    pub(super) fn new(plan: Option<Plan>) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            plan,
            ..Lines::default()
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap()
    }

    pub(super) fn go_down(&self) {
        self.lock().down = true;
    }

    /// The first connection breaks; the next one comes when the target has given up.
    pub(super) fn go_down_until_dropped(&self, shared: &Shared) {
        self.lock().down_until_dropped = Some(shared.clone());
    }

    pub(super) fn connections(&self) -> usize {
        self.lock().made
    }

    /// What went over the first connection: to the target, to the source.
    pub(super) fn seen(&self) -> [Vec<u8>; 2] {
        self.lock().seen.clone()
    }

    /// The two ends of a new network.
    pub(super) fn ends(&self) -> (FakeDial, FakeAccept) {
        let (send, receive) = channel();
        let dial = FakeDial {
            network: self.clone(),
            send,
        };
        (dial, FakeAccept { receive })
    }
}

#[derive(Debug)]
pub(super) struct FakeDial {
    network: Network,
    send: Sender<UnixStream>,
}

impl Dial for FakeDial {
    fn dial(&mut self, _: Duration, pace: Pace) -> Result<Wire, Error> {
        let refused = || Error::Connect(self.target(), io::ErrorKind::ConnectionRefused.into());
        let number = {
            let mut lines = self.network.lock();
            let waits = |shared: &Shared| shared.lock().target != Doing::Nothing;
            if lines.down || lines.down_until_dropped.as_ref().is_some_and(waits) {
                return Err(refused());
            }
            lines.made += 1;
            lines.made
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.send.send(theirs).map_err(|_| refused())?;
        let line = Line {
            stream: ours,
            network: self.network.clone(),
            number,
            moved: [0; 2],
        };
        let paced = Paced::new(Box::new(line), pace.clone()).unwrap();
        Ok(Wire::new(Box::new(paced), pace))
    }

    fn target(&self) -> String {
        "fake".to_owned()
    }
}

/// A channel cannot be polled: look again after this.
const NOBODY: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct FakeAccept {
    receive: Receiver<UnixStream>,
}

impl Accept for FakeAccept {
    fn wait(&self, patience: Duration) {
        thread::sleep(patience.min(NOBODY));
    }

    fn accept(&mut self) -> io::Result<Option<Box<dyn Channel>>> {
        match self.receive.try_recv() {
            Ok(stream) => Ok(Some(Box::new(stream))),
            Err(_) => Ok(None),
        }
    }

    fn protect(&mut self, channel: Box<dyn Channel>, pace: Pace) -> Result<Wire, Error> {
        let paced = Paced::new(channel, pace.clone()).unwrap();
        Ok(Wire::new(Box::new(paced), pace))
    }
}

/// The source's end of a connection.
#[derive(Debug)]
struct Line {
    stream: UnixStream,
    network: Network,
    number: usize,
    moved: [usize; 2],
}

/// What is to be done with the next bytes.
enum Next {
    Pass(usize),
    Cut,
    Stall,
    Flip,
}

impl Line {
    fn next(&self, way: Way, wanted: usize) -> Next {
        let lines = self.network.lock();
        if lines.down || (self.number == 1 && lines.down_until_dropped.is_some()) {
            return Next::Cut;
        }
        let plan = match lines.plan {
            Some(plan) if self.number <= plan.connections => plan,
            _ => return Next::Pass(wanted),
        };
        let reached = |way: Way| self.moved[way as usize] >= plan.after;
        match plan.fault {
            Fault::Cut if reached(plan.way) => Next::Cut,
            Fault::Stall if reached(plan.way) => Next::Stall,
            Fault::Flip if way == plan.way && self.moved[way as usize] == plan.after => Next::Flip,
            _ if way == plan.way && !reached(way) => {
                Next::Pass(wanted.min(plan.after - self.moved[way as usize]))
            }
            _ => Next::Pass(wanted),
        }
    }

    fn cut<T>(&self) -> io::Result<T> {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        Err(io::ErrorKind::ConnectionReset.into())
    }

    fn note(&mut self, way: Way, bytes: &[u8]) {
        self.moved[way as usize] += bytes.len();
        if self.number == 1 {
            self.network.lock().seen[way as usize].extend(bytes);
        }
    }
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (wanted, flip) = match self.next(Way::ToSource, buf.len()) {
            Next::Pass(wanted) => (wanted, 0),
            Next::Flip => (1, 0x10),
            Next::Cut => return self.cut(),
            Next::Stall => {
                thread::sleep(Duration::from_millis(5));
                return Err(io::ErrorKind::WouldBlock.into());
            }
        };
        let read = self.stream.read(&mut buf[..wanted])?;
        buf[0] ^= flip;
        self.note(Way::ToSource, &buf[..read]);
        Ok(read)
    }
}

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = match self.next(Way::ToTarget, buf.len()) {
            Next::Pass(wanted) => self.stream.write(&buf[..wanted])?,
            Next::Flip => self.stream.write(&[buf[0] ^ 0x10])?,
            Next::Cut => return self.cut(),
            Next::Stall => buf.len(),
        };
        self.note(Way::ToTarget, &buf[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Channel for Line {
    fn set_slice(&self, slice: Duration) -> io::Result<()> {
        self.stream.set_slice(slice)
    }

    fn end_writing(&self) -> io::Result<()> {
        self.stream.end_writing()
    }
}

pub(super) fn receiver(accept: FakeAccept, options: ReceiveOptions) -> target::Receiver {
    target::Receiver::on(Box::new(accept), Endpoint::Unix("fake".into()), options)
}

/// Accepts these connections.
#[derive(Debug)]
struct These(VecDeque<Box<dyn Channel>>);

impl Accept for These {
    fn wait(&self, patience: Duration) {
        thread::sleep(patience.min(NOBODY));
    }

    fn accept(&mut self) -> io::Result<Option<Box<dyn Channel>>> {
        Ok(self.0.pop_front())
    }

    fn protect(&mut self, channel: Box<dyn Channel>, pace: Pace) -> Result<Wire, Error> {
        let paced = Paced::new(channel, pace.clone()).unwrap();
        Ok(Wire::new(Box::new(paced), pace))
    }
}

/// A receiver to whom only `channels` come.
pub(super) fn receiver_on(
    channels: Vec<Box<dyn Channel>>,
    options: ReceiveOptions,
) -> target::Receiver {
    let accept = These(channels.into());
    target::Receiver::on(Box::new(accept), Endpoint::Unix("fake".into()), options)
}
