//! Between a source and a target on Unix sockets: passes everything on, until a chosen byte. What
//! it has passed decides who has to have the machine afterwards.

mod fault;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use fault::{Act, At, Fault, Frame, Way};

/// Bytes of a frame's header: kind, length of the body, checksum, each a little-endian u32. See
/// `docs/reference/migration-protocol.md`.
pub const HEADER_BYTES: usize = 12;

/// Nothing that works takes so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look for a connection.
const LOOK: Duration = Duration::from_millis(1);

/// When the fault happens.
enum Due {
    /// Before the next byte.
    Now(Act),
    /// After so many bytes at the earliest.
    In(usize),
    /// Only the whole header of the frame that comes can say that.
    NeedsHeader,
}

/// What has been passed on in one direction of the first connection.
#[derive(Clone, Debug, Default)]
struct Passed {
    bytes: u64,
    /// Kinds of whole frames.
    frames: Vec<u32>,
    /// Header of the frame under way, as far as it has come, and how many bytes it still has.
    header: Vec<u8>,
    left: u64,
    /// No more comes.
    over: bool,
}

impl Passed {
    /// The kind of the frame that the next byte belongs to, once it is known, the bytes of it that
    /// have passed and those it has.
    fn frame(&self, coming: &[u8]) -> Option<(u32, u64, u64)> {
        let mut header = self.header.clone();
        header.extend(coming.iter().take(HEADER_BYTES - header.len()));
        let kind = u32::from_le_bytes(header.get(..4)?.try_into().ok()?);
        let body = u32::from_le_bytes(header.get(4..8)?.try_into().ok()?);
        let whole = HEADER_BYTES as u64 + u64::from(body);
        let done = match self.header.len() {
            HEADER_BYTES => whole - self.left,
            part => part as u64,
        };
        Some((kind, done, whole))
    }

    /// Bytes up to the end of the header or the frame under way.
    fn stretch(&self) -> usize {
        match self.header.len() {
            HEADER_BYTES => usize::try_from(self.left).unwrap_or(usize::MAX),
            part => HEADER_BYTES - part,
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.header.len() < HEADER_BYTES {
            self.header.extend(bytes);
            if self.header.len() < HEADER_BYTES {
                return;
            }
            let body = self.header[4..8].try_into().map_or(0, u32::from_le_bytes);
            self.left = body.into();
        } else {
            self.left -= bytes.len() as u64;
        }
        if self.left == 0 {
            let kind = self.header[..4].try_into().map_or(0, u32::from_le_bytes);
            self.frames.push(kind);
            self.header.clear();
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    fault: Option<Fault>,
    /// What became of the fault.
    happened: bool,
    to_target: Passed,
    to_source: Passed,
    connections: u32,
    stalled: bool,
    /// Bytes that pass on each connection after the first until it breaks too; then all pass.
    cut_again: Vec<(Way, u64)>,
    /// Everything that has to end with the proxy.
    streams: Vec<UnixStream>,
}

impl Seen {
    fn passed(&mut self, way: Way) -> &mut Passed {
        match way {
            Way::ToTarget => &mut self.to_target,
            Way::ToSource => &mut self.to_source,
        }
    }

    /// When the fault happens, looking at what comes.
    fn due(&mut self, way: Way, coming: &[u8]) -> Due {
        let Some(mut fault) = self.fault.take_if(|fault| fault.way == way) else {
            return Due::In(usize::MAX);
        };
        let passed = self.passed(way);
        if let At::Into(frame, part) = fault.at {
            match passed.frame(coming) {
                None => {
                    self.fault = Some(fault);
                    return Due::NeedsHeader;
                }
                Some((kind, done, whole)) if kind == frame as u32 => {
                    fault.at = At::Byte(passed.bytes - done + part % (whole + 1));
                }
                Some(_) => {}
            }
        }
        let room = match fault.at {
            At::Byte(byte) => byte - passed.bytes,
            At::Into(..) => u64::MAX,
        };
        if room == 0 {
            self.happened = true;
            return Due::Now(fault.act);
        }
        self.fault = Some(fault);
        Due::In(usize::try_from(room).unwrap_or(usize::MAX))
    }
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens for a source and connects it with a target. Ends with its value.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    front: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Between whoever connects to `front` and the target at `back`. After the fault, if that is a
    /// cut, as many more connections break as `cut_again` has entries.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(
        front: &Path,
        back: &Path,
        fault: Option<Fault>,
        cut_again: Vec<(Way, u64)>,
    ) -> Self {
        let listener = UnixListener::bind(front).expect("a socket for the proxy");
        listener.set_nonblocking(true).expect("it is a socket");
        let shared = Arc::new(Shared::default());
        {
            let mut seen = shared.seen();
            seen.fault = fault;
            seen.cut_again = cut_again;
        }
        let thread = {
            let (shared, back) = (Arc::clone(&shared), back.to_owned());
            thread::spawn(move || serve(&listener, &back, &shared))
        };
        Self {
            shared,
            front: front.to_owned(),
            thread: Some(thread),
        }
    }

    /// Waits until nothing more can come in this direction of the first connection.
    ///
    /// # Panics
    /// When something still can after a long time.
    pub fn wait_for_end(&self, way: Way) {
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.seen(), PATIENCE, |seen| !seen.passed(way).over);
        let (mut seen, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(seen.passed(way).over, "{seen:?}");
    }

    /// Whether the fault has happened.
    pub fn has_happened(&self) -> bool {
        self.shared.seen().happened
    }

    /// Whether a whole frame of this kind has been passed on over the first connection.
    pub fn has_passed(&self, way: Way, frame: Frame) -> bool {
        let mut seen = self.shared.seen();
        seen.passed(way).frames.contains(&(frame as u32))
    }

    /// Bytes passed on over the first connection.
    pub fn bytes(&self, way: Way) -> u64 {
        self.shared.seen().passed(way).bytes
    }

    /// Connections so far.
    pub fn connections(&self) -> u32 {
        self.shared.seen().connections
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        drop(std::fs::remove_file(&self.front));
    }
}

fn serve(listener: &UnixListener, back: &Path, shared: &Arc<Shared>) {
    let mut pumps = Vec::new();
    while !shared.stop.load(Relaxed) {
        let Ok((source, _)) = listener.accept() else {
            thread::sleep(LOOK);
            continue;
        };
        // A target that is dead: the source sees its connection end.
        let Ok(target) = UnixStream::connect(back) else {
            continue;
        };
        let mut seen = shared.seen();
        let first = seen.connections == 0;
        seen.connections += 1;
        let limit = if first || seen.cut_again.is_empty() {
            None
        } else {
            Some(seen.cut_again.remove(0))
        };
        let streams = [&source, &target].map(|stream| stream.try_clone().expect("a descriptor"));
        seen.streams.extend(streams);
        drop(seen);
        for way in [Way::ToTarget, Way::ToSource] {
            let [source, target] =
                [&source, &target].map(|stream| stream.try_clone().expect("a descriptor"));
            let (from, to) = match way {
                Way::ToTarget => (source, target),
                Way::ToSource => (target, source),
            };
            let shared = Arc::clone(shared);
            let limit = limit.and_then(|(there, bytes)| (there == way).then_some(bytes));
            pumps.push(thread::spawn(move || {
                // Either end of a broken connection is seen by both sides.
                let _ = if first {
                    watch(&from, &to, way, &shared)
                } else {
                    pass(&from, &to, limit)
                };
                if first {
                    shared.seen().passed(way).over = true;
                    shared.changed.notify_all();
                }
                let _ = from.shutdown(Shutdown::Read);
                let _ = to.shutdown(Shutdown::Write);
            }));
        }
    }
    for stream in shared.seen().streams.drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for pump in pumps {
        drop(pump.join());
    }
}

fn cut(from: &UnixStream, to: &UnixStream) {
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Passes on what comes, but no more than `limit` bytes.
fn pass(mut from: &UnixStream, mut to: &UnixStream, limit: Option<u64>) -> io::Result<()> {
    let mut left = limit.unwrap_or(u64::MAX);
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let some = usize::try_from(left).map_or(read, |left| left.min(read));
        to.write_all(&buffer[..some])?;
        left -= some as u64;
        if left == 0 {
            cut(from, to);
            return Ok(());
        }
    }
}

/// Passes on what comes over the first connection, counts it and makes the fault happen. One
/// direction at a time: what has passed when the fault happens is exact.
fn watch(mut from: &UnixStream, mut to: &UnixStream, way: Way, shared: &Shared) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut filled = 0;
    loop {
        let read = from.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut done = 0;
        let mut seen = shared.seen();
        loop {
            let coming = &buffer[done..filled];
            let room = match seen.due(way, coming) {
                Due::Now(Act::Cut) => {
                    cut(from, to);
                    return Ok(());
                }
                Due::Now(Act::Stall) => {
                    seen.stalled = true;
                    continue;
                }
                Due::Now(Act::Call(call)) => {
                    call();
                    continue;
                }
                Due::In(room) => room,
                Due::NeedsHeader => break,
            };
            if coming.is_empty() {
                break;
            }
            if seen.stalled {
                // Read and dropped: whoever sends does not notice.
                done = filled;
                break;
            }
            let passed = seen.passed(way);
            let some = passed.stretch().min(coming.len()).min(room);
            to.write_all(&coming[..some])?;
            passed.note(&coming[..some]);
            done += some;
        }
        drop(seen);
        buffer.copy_within(done..filled, 0);
        filled -= done;
    }
}
