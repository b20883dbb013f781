//! One connection: requests in, one after the other, answers out, each within a time limit.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::connections::Place;
use super::limits::Limits;
use super::operations::Operations;
use super::request::{self, Head, Parsed};
use super::response::{After, Code, Content, Response};
use super::route;

/// Read at once.
const CHUNK: usize = 4 << 10;
/// Whether the server ends is looked at this often while a client does not read.
const LOOK: Duration = Duration::from_millis(100);
/// Read and thrown away of a request that is refused before its end.
const LINGER_MAX: usize = 256 << 10;

/// Why no further request is served.
enum Over {
    /// The client or the server has ended the connection, or nobody has said anything.
    Quietly,
    /// The client is owed this.
    With(Response),
}

/// Serves `place`'s connection to its end.
pub(super) fn serve(place: &Place, operations: &dyn Operations, limits: &Limits) {
    let mut wire = Wire {
        place,
        limits,
        buffer: Vec::new(),
    };
    loop {
        let (head, body) = match wire.request() {
            Ok(request) => request,
            Err(Over::Quietly) => return,
            Err(Over::With(response)) => {
                if wire.send(&response.render(After::Close, Content::Sent)) {
                    wire.linger();
                }
                return;
            }
        };
        if !place.begin() {
            return;
        }
        let response = route::serve(operations, &head.method, &head.path, &body);
        let after = if head.keep_alive && !place.is_closing() {
            After::KeepAlive
        } else {
            After::Close
        };
        let content = if head.method == "HEAD" {
            Content::Omitted
        } else {
            Content::Sent
        };
        let sent = wire.send(&response.render(after, content));
        let stays = place.end();
        if !sent || !stays || after == After::Close {
            return;
        }
    }
}

struct Wire<'a> {
    place: &'a Place,
    limits: &'a Limits,
    /// What has been read and not yet served; bounded by a request's greatest length and a chunk.
    buffer: Vec<u8>,
}

impl Wire<'_> {
    fn stream(&self) -> &UnixStream {
        self.place.stream()
    }

    /// The next request and its body.
    fn request(&mut self) -> Result<(Head, Vec<u8>), Over> {
        let mut deadline = Instant::now() + self.limits.request;
        let (head, length) = loop {
            match request::parse(&self.buffer) {
                Parsed::Whole { head, length } => break (head, length),
                Parsed::Refused(response) => return Err(Over::With(response)),
                Parsed::Partial => {}
            }
            if self.buffer.is_empty() {
                self.fill(Instant::now() + self.limits.idle)
                    .map_err(|_| Over::Quietly)?;
                deadline = Instant::now() + self.limits.request;
            } else {
                self.fill(deadline)?;
            }
        };
        let whole = length + head.body;
        if head.expects_continue && self.buffer.len() < whole {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        while self.buffer.len() < whole {
            self.fill(deadline)?;
        }
        let body = self.buffer[length..whole].to_vec();
        self.buffer.drain(..whole);
        Ok((head, body))
    }

    /// Reads once.
    fn fill(&mut self, deadline: Instant) -> Result<(), Over> {
        let mut chunk = [0; CHUNK];
        match read_until(self.stream(), &mut chunk, deadline) {
            Ok(0) => Err(Over::Quietly),
            Ok(bytes) => {
                self.buffer.extend_from_slice(&chunk[..bytes]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let seconds = self.limits.request.as_secs_f64();
                Err(Over::With(Response::error(
                    Code::RequestTimeout,
                    format!("the request was not whole within {seconds} s"),
                )))
            }
            Err(_) => Err(Over::Quietly),
        }
    }

    /// Sends all of `bytes`; false where the client does not take them.
    fn send(&self, mut bytes: &[u8]) -> bool {
        let deadline = Instant::now() + self.limits.answer;
        let mut stream = self.stream();
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || stream.set_write_timeout(Some(left.min(LOOK))).is_err() {
                return false;
            }
            match stream.write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A client that reads has room for an answer, so this one is no loss at the end.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.place.is_closing() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads what the client still sends, so that it sees the answer and not a broken pipe.
    fn linger(&self) {
        let deadline = Instant::now() + self.limits.request;
        let mut chunk = [0; CHUNK];
        let mut left = LINGER_MAX;
        if self.stream().shutdown(Shutdown::Write).is_err() {
            return;
        }
        while left > 0 {
            match read_until(self.stream(), &mut chunk, deadline) {
                Ok(bytes) if bytes > 0 => left = left.saturating_sub(bytes),
                _ => return,
            }
        }
    }
}

/// Reads once; `WouldBlock` when nothing has come by `deadline`.
fn read_until(mut stream: &UnixStream, chunk: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
