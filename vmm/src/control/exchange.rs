//! One request and its answer, over one connection, as a client sees them.

use std::io::{self, ErrorKind, Read, Write};
#[cfg(test)]
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::os::unix_socket;

/// Longest answer in bytes: statistics of 4096 vCPUs are the most there is.
const ANSWER_MAX: usize = 1 << 23;
/// Longest head of one.
pub(super) const HEAD_MAX: usize = 1 << 16;
const HEADERS_MAX: usize = 32;

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    listener: libc::pid_t,
    /// An answer has not come, or not whole.
    is_broken: bool,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status code.
    pub(super) code: u16,
    pub(super) body: Vec<u8>,
}

/// Why nothing came back, or nothing whole.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection ended before the other side had read all of the request: it was not done.
    Unread,
    /// The connection ended before the answer did: whether it was done nobody can tell.
    Unanswered,
    /// The connection is there, and no answer came in time.
    Silent,
    /// What came is no answer, and why.
    NoHttp(String),
    /// Anything else.
    System(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock => Self::Silent,
            // Of a read: the other side closed a socket in which something was left
            // (unix_release_sock, net/unix/af_unix.c), and a vmm takes a request out whole before it
            // does it. Of a write: so it did before all of it was there.
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Self::Unread,
            _ => Self::System(error),
        }
    }
}

/// The bytes of a request.
pub(super) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: vmm\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

impl Link {
    /// Connects to the socket at `path`, and later waits so long for room for a request.
    ///
    /// # Errors
    /// What the system calls say.
    pub(super) fn open(path: &Path, patience: Duration) -> io::Result<Self> {
        let stream = unix_socket::connect(path, patience)?;
        let listener = unix_socket::peer(&stream)?;
        Ok(Self {
            stream,
            listener,
            is_broken: false,
        })
    }

    /// Whether an exchange has failed: what comes now may belong to that one.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The process that made the socket; `None` for one that is not seen from here.
    pub(super) fn listener(&self) -> Option<libc::pid_t> {
        Some(self.listener).filter(|process| *process != 0)
    }

    /// Sends `request` and waits for the answer, `None` for as long as it takes.
    ///
    /// # Errors
    /// [`Broken`]; the connection is of no further use then.
    pub(super) fn exchange(
        &mut self,
        request: &[u8],
        patience: Option<Duration>,
    ) -> Result<Answer, Broken> {
        self.stream.set_read_timeout(patience)?;
        // Where the other side has refused and closed, its answer can still be read.
        let sent = self.stream.write_all(request);
        let answer = match (self.answer(), sent) {
            (Err(Broken::Unanswered), Err(error)) => Err(error.into()),
            (answer, _) => answer,
        };
        self.is_broken = answer.is_err();
        answer
    }

    fn answer(&mut self) -> Result<Answer, Broken> {
        let mut bytes = Vec::new();
        loop {
            match head(&bytes)? {
                Some((code, head, body)) => {
                    if let Some(body) = bytes.get(head..head + body) {
                        let body = body.to_vec();
                        return Ok(Answer { code, body });
                    }
                }
                None if bytes.len() > HEAD_MAX => {
                    return Err(Broken::NoHttp("the answer's head has no end".to_owned()));
                }
                None => {}
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Broken::Unanswered),
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Status code, length of the head and of the body, once the head is whole.
fn head(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Broken::NoHttp(error.to_string())),
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
        .filter(|length| *length <= ANSWER_MAX);
    match (response.code, length) {
        (Some(code), Some(length)) => Ok(Some((code, head, length))),
        _ => Err(Broken::NoHttp("the answer has no length".to_owned())),
    }
}
