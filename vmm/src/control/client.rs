//! The API's client side, for the commands of `vmm` and for other programs.
//!
//! ```no_run
//! use vmm::control::client::Client;
//!
//! // A machine that was started by `vmm run --api vm.sock`.
//! let mut machine = Client::connect("vm.sock".as_ref())?;
//! println!("{} vCPUs, up {:.1} s", machine.status()?.vcpus, machine.status()?.uptime_seconds);
//! machine.pause()?;
//! machine.resume()?;
//! # Ok::<(), vmm::control::client::Error>(())
//! ```

use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::response::ErrorBody;
use super::types::{MigrateDone, MigrateRequest, SnapshotDone, SnapshotRequest, Stats, Status};
use crate::os::unix_socket;

/// How long a vmm may take to answer what it answers at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer in bytes: statistics of 4096 vCPUs are the most there is.
const ANSWER_MAX: usize = 1 << 23;
const HEADERS_MAX: usize = 32;

/// A connection to the API of a running `vmm`.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: UnixStream,
}

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is at that path.
    #[error("--api {path}: no such socket; start a vmm there with `vmm run --api {path}`", path = .0.display())]
    NoSocket(PathBuf),
    /// It is a file of another kind.
    #[error("--api {}: is no socket; name the one that `vmm run --api` made", .0.display())]
    NotASocket(PathBuf),
    /// A socket that a dead process left.
    #[error("--api {path}: no vmm listens there; start one with `vmm run --api {path}`", path = .0.display())]
    NobodyListens(PathBuf),
    /// The path is empty or too long for a socket.
    #[error(
        "--api {}: a Unix socket's path has 1 to {} bytes",
        .0.display(),
        unix_socket::PATH_MAX
    )]
    BadPath(PathBuf),
    /// Somebody listens who does not speak the API.
    #[error("--api {}: who listens there is no vmm of this version: {what}", path.display())]
    NotAVmm {
        /// The socket.
        path: PathBuf,
        /// What was expected.
        what: String,
    },
    /// The connection ended first.
    #[error("--api {}: the vmm ended before it had answered", .0.display())]
    Ended(PathBuf),
    /// It is alive and silent.
    #[error("--api {}: no answer within {} s", .0.display(), PATIENCE.as_secs())]
    Silent(PathBuf),
    /// Anything else.
    #[error("--api {}: cannot be used", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The request does not fit JSON: a path that is no UTF-8.
    #[error("the request cannot be sent")]
    Request(#[source] serde_json::Error),
    /// The vmm does not do it.
    #[error("{message}{}", lines(details))]
    Refused {
        /// The response's status code.
        code: u16,
        /// The reason.
        message: String,
        /// More, one fact an entry.
        details: Vec<String>,
    },
}

fn lines(details: &[String]) -> String {
    details
        .iter()
        .map(|detail| format!("\n  {detail}"))
        .collect()
}

/// How long to wait for an answer.
#[derive(Clone, Copy)]
enum Wait {
    /// It comes at once.
    Short,
    /// It comes when the operation is done.
    ForTheOperation,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let owned = || path.to_path_buf();
        let is_socket = || {
            path.metadata()
                .is_ok_and(|found| found.file_type().is_socket())
        };
        match unix_socket::connect(path, PATIENCE) {
            Ok(stream) => Ok(Self {
                path: owned(),
                stream,
            }),
            Err(source) => Err(match source.kind() {
                io::ErrorKind::NotFound => Error::NoSocket(owned()),
                io::ErrorKind::InvalidFilename => Error::BadPath(owned()),
                io::ErrorKind::ConnectionRefused if is_socket() => Error::NobodyListens(owned()),
                io::ErrorKind::ConnectionRefused => Error::NotASocket(owned()),
                io::ErrorKind::WouldBlock => Error::Silent(owned()),
                _ if source.raw_os_error() == Some(libc::EPROTOTYPE) => Error::NotAVmm {
                    path: owned(),
                    what: "it is no stream socket".to_owned(),
                },
                _ => Error::System {
                    path: owned(),
                    source,
                },
            }),
        }
    }

    /// How the machine is.
    ///
    /// # Errors
    /// [`Error`], here and below.
    pub fn status(&mut self) -> Result<Status, Error> {
        self.call("GET", "/status", None::<&()>, Wait::Short)
    }

    /// What it does and has done, vCPU by vCPU.
    ///
    /// # Errors
    /// [`Error`].
    pub fn stats(&mut self) -> Result<Stats, Error> {
        self.call("GET", "/stats", None::<&()>, Wait::Short)
    }

    /// Pauses all vCPUs.
    ///
    /// # Errors
    /// [`Error`].
    pub fn pause(&mut self) -> Result<(), Error> {
        self.order("/pause")
    }

    /// Lets paused vCPUs go on.
    ///
    /// # Errors
    /// [`Error`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.order("/resume")
    }

    /// Ends the machine.
    ///
    /// # Errors
    /// [`Error`].
    pub fn stop(&mut self) -> Result<(), Error> {
        self.order("/stop")
    }

    /// Saves the machine; returns when it is saved.
    ///
    /// # Errors
    /// [`Error`].
    pub fn snapshot(&mut self, request: &SnapshotRequest) -> Result<SnapshotDone, Error> {
        self.call("PUT", "/snapshot", Some(request), Wait::ForTheOperation)
    }

    /// Moves the machine; returns when it runs elsewhere.
    ///
    /// # Errors
    /// [`Error`].
    pub fn migrate(&mut self, request: &MigrateRequest) -> Result<MigrateDone, Error> {
        self.call("PUT", "/migrate", Some(request), Wait::ForTheOperation)
    }

    fn order(&mut self, path: &str) -> Result<(), Error> {
        let done: serde_json::Value = self.call("PUT", path, None::<&()>, Wait::Short)?;
        drop(done);
        Ok(())
    }

    fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&impl Serialize>,
        wait: Wait,
    ) -> Result<T, Error> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(Error::Request)?,
            None => Vec::new(),
        };
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: vmm\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(&body);
        let patience = match wait {
            Wait::Short => Some(PATIENCE),
            Wait::ForTheOperation => None,
        };
        self.stream
            .set_read_timeout(patience)
            .map_err(|error| self.broken(error))?;
        // Where the other side has refused and closed, its answer can still be read.
        let sent = self.stream.write_all(&request);
        let (code, answer) = match (self.answer(), sent) {
            (Err(Error::Ended(_)), Err(error)) => return Err(self.broken(error)),
            (answer, _) => answer?,
        };
        if code == 200 {
            return serde_json::from_slice(&answer).map_err(|error| self.not_a_vmm(error));
        }
        let refused: ErrorBody =
            serde_json::from_slice(&answer).map_err(|error| self.not_a_vmm(error))?;
        Err(Error::Refused {
            code,
            message: refused.error,
            details: refused.details,
        })
    }

    /// The status code and body of the next answer.
    fn answer(&mut self) -> Result<(u16, Vec<u8>), Error> {
        let mut bytes = Vec::new();
        loop {
            if let Some((code, head, body)) = self.head(&bytes)?
                && bytes.len() >= head + body
            {
                return Ok((code, bytes[head..head + body].to_vec()));
            }
            if bytes.len() > ANSWER_MAX {
                return Err(self.not_a_vmm("the answer has no end"));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Error::Ended(self.path.clone())),
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    /// Status code, length of the head and of the body, once the head is whole.
    fn head(&self, bytes: &[u8]) -> Result<Option<(u16, usize, usize)>, Error> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(bytes) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(self.not_a_vmm(error)),
        };
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
            .filter(|length| *length <= ANSWER_MAX);
        match (response.code, length) {
            (Some(code), Some(length)) => Ok(Some((code, head, length))),
            _ => Err(self.not_a_vmm("the answer has no length")),
        }
    }

    fn not_a_vmm(&self, what: impl ToString) -> Error {
        Error::NotAVmm {
            path: self.path.clone(),
            what: what.to_string(),
        }
    }

    fn broken(&self, source: io::Error) -> Error {
        let path = self.path.clone();
        match source.kind() {
            io::ErrorKind::WouldBlock => Error::Silent(path),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Error::Ended(path),
            _ => Error::System { path, source },
        }
    }
}

#[cfg(test)]
#[path = "client_test.rs"]
mod tests;
