//! Which connections are open: how many, what each does, and who has to go.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// This many stay open. One more ends the one that has been waiting for its client the longest, so
/// that clients who say nothing keep nobody out.
pub(super) const OPEN_MAX: usize = 16;
/// Threads of connections, those included that have been told to go.
pub(super) const THREADS_MAX: usize = 2 * OPEN_MAX;

/// All connections of one server.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    closing: bool,
    /// Counts up; orders connections by their last use.
    clock: u64,
    next_id: u64,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    id: u64,
    used: u64,
    stream: Arc<UnixStream>,
    activity: Activity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// The client has the word.
    Waiting,
    /// An operation runs for it, or its answer is on the way.
    Working,
    /// It was told to go.
    Leaving,
}

/// One connection's place, given up when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    stream: Arc<UnixStream>,
}

impl Connections {
    /// A place for `stream`, or the stream back where there is none.
    pub(super) fn admit(self: &Arc<Self>, stream: UnixStream) -> Result<Place, UnixStream> {
        let mut inner = self.lock();
        if inner.closing || !inner.make_room() {
            return Err(stream);
        }
        let stream = Arc::new(stream);
        let id = inner.next_id;
        inner.next_id += 1;
        let used = inner.tick();
        inner.open.push(Open {
            id,
            used,
            stream: Arc::clone(&stream),
            activity: Activity::Waiting,
        });
        Ok(Place {
            connections: Arc::clone(self),
            id,
            stream,
        })
    }

    /// Ends every connection that waits for its client, and the others once their answer is out.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closing = true;
        for open in &mut inner.open {
            if open.activity == Activity::Waiting {
                open.end();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Whether there is room for one more, made if need be.
    fn make_room(&mut self) -> bool {
        let staying = |open: &&mut Open| open.activity != Activity::Leaving;
        if self.open.iter_mut().filter(staying).count() < OPEN_MAX {
            return true;
        }
        if self.open.len() >= THREADS_MAX {
            return false;
        }
        let waiting = |open: &&mut Open| open.activity == Activity::Waiting;
        let longest = self
            .open
            .iter_mut()
            .filter(waiting)
            .min_by_key(|open| open.used);
        match longest {
            Some(open) => {
                open.end();
                true
            }
            None => false,
        }
    }
}

impl Open {
    fn end(&mut self) {
        self.activity = Activity::Leaving;
        // Its thread sees the end of the stream. Fails where the client has gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Place {
    /// The connection.
    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// An operation starts; false where the connection has been told to go.
    pub(super) fn begin(&self) -> bool {
        let mut inner = self.connections.lock();
        let closing = inner.closing;
        inner.of(self.id).is_some_and(|open| {
            let stays = !closing && open.activity == Activity::Waiting;
            if stays {
                open.activity = Activity::Working;
            }
            stays
        })
    }

    /// The answer is out; false where the connection has to go.
    pub(super) fn end(&self) -> bool {
        let mut inner = self.connections.lock();
        let used = inner.tick();
        let closing = inner.closing;
        if let Some(open) = inner.of(self.id) {
            open.activity = Activity::Waiting;
            open.used = used;
        }
        !closing
    }

    /// Whether the server ends.
    pub(super) fn is_closing(&self) -> bool {
        self.connections.lock().closing
    }
}

impl Inner {
    fn of(&mut self, id: u64) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.id == id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections
            .lock()
            .open
            .retain(|open| open.id != self.id);
    }
}

/// Sends what fits without waiting and closes.
pub(super) fn send_and_close(mut stream: UnixStream, bytes: &[u8]) {
    let sent = stream
        .set_nonblocking(true)
        .and_then(|()| io::Write::write_all(&mut stream, bytes));
    // A client that is not told sees the connection end.
    drop(sent);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_bounded_even_while_they_are_on_their_way_out() {
        let connections = Arc::<Connections>::default();
        let mut clients = Vec::new();
        let mut admit = || {
            let (ours, client) = UnixStream::pair().unwrap();
            clients.push(client);
            connections.admit(ours)
        };
        // No thread serves these, so none ends that is told to.
        let mut places: Vec<_> = (0..THREADS_MAX).map(|_| admit().unwrap()).collect();
        assert!(admit().is_err());
        // The first have been told to go, the rest have not.
        assert!(!places[OPEN_MAX - 1].begin());
        assert!(places[OPEN_MAX].begin());
        drop(places.remove(0));
        places.push(admit().unwrap());
        assert!(admit().is_err());
    }
}
