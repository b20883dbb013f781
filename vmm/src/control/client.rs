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

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exchange::{Answer, Broken, Link, request};
use super::response::ErrorBody;
use super::types::{MigrateDone, MigrateRequest, SnapshotDone, SnapshotRequest, Stats, Status};
use crate::os::unix_socket;

/// How long a vmm may take to answer what it answers at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// The API of a running `vmm`, over a connection that is kept from one call to the next.
///
/// A `vmm` ends connections that say nothing for long, and makes room for others. A call that finds
/// its connection ended goes over a new one, if that leads to the same process and nothing can come
/// of it twice.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    link: Link,
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
    /// The connection ended first, and the process that was at its other end is not there any more.
    #[error("--api {}: the vmm ended before it had answered", .0.display())]
    Ended(PathBuf),
    /// The connection ended first, and that process is still there.
    #[error(
        "--api {path}: the vmm closed the connection before it had answered, and runs on; what was asked for \
         may have been done: look with `vmm status --api {path}`",
        path = .0.display()
    )]
    Unanswered(PathBuf),
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

/// What is asked for.
#[derive(Clone, Copy)]
enum Asked {
    /// Answered at once, and no other if it is done twice.
    AtOnce,
    /// Answered at once, and not to be done twice: somebody else may have undone it meanwhile.
    Once,
    /// Answered when it is done, and not to be done twice.
    Operation,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn connect(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_path_buf(),
            link: open(path)?,
        })
    }

    /// How the machine is.
    ///
    /// # Errors
    /// [`Error`], here and below.
    pub fn status(&mut self) -> Result<Status, Error> {
        self.call("GET", "/status", None::<&()>, Asked::AtOnce)
    }

    /// What it does and has done, vCPU by vCPU.
    ///
    /// # Errors
    /// [`Error`].
    pub fn stats(&mut self) -> Result<Stats, Error> {
        self.call("GET", "/stats", None::<&()>, Asked::AtOnce)
    }

    /// Pauses all vCPUs.
    ///
    /// # Errors
    /// [`Error`].
    pub fn pause(&mut self) -> Result<(), Error> {
        self.order("/pause", Asked::AtOnce)
    }

    /// Lets paused vCPUs go on.
    ///
    /// # Errors
    /// [`Error`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.order("/resume", Asked::Once)
    }

    /// Ends the machine.
    ///
    /// # Errors
    /// [`Error`].
    pub fn stop(&mut self) -> Result<(), Error> {
        self.order("/stop", Asked::Once)
    }

    /// Saves the machine; returns when it is saved.
    ///
    /// # Errors
    /// [`Error`].
    pub fn snapshot(&mut self, request: &SnapshotRequest) -> Result<SnapshotDone, Error> {
        self.call("PUT", "/snapshot", Some(request), Asked::Operation)
    }

    /// Moves the machine; returns when it runs elsewhere.
    ///
    /// # Errors
    /// [`Error`].
    pub fn migrate(&mut self, request: &MigrateRequest) -> Result<MigrateDone, Error> {
        self.call("PUT", "/migrate", Some(request), Asked::Operation)
    }

    fn order(&mut self, path: &str, asked: Asked) -> Result<(), Error> {
        let done: serde_json::Value = self.call("PUT", path, None::<&()>, asked)?;
        drop(done);
        Ok(())
    }

    fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&impl Serialize>,
        asked: Asked,
    ) -> Result<T, Error> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(Error::Request)?,
            None => Vec::new(),
        };
        let Answer { code, body } = self.ask(&request(method, path, &body), asked)?;
        let no_json = |error: serde_json::Error| self.error(Broken::NoHttp(error.to_string()));
        if code == 200 {
            return serde_json::from_slice(&body).map_err(no_json);
        }
        let refused: ErrorBody = serde_json::from_slice(&body).map_err(no_json)?;
        Err(Error::Refused {
            code,
            message: refused.error,
            details: refused.details,
        })
    }

    /// Sends `request`, and where the connection ends it can be sent again, once more.
    fn ask(&mut self, request: &[u8], asked: Asked) -> Result<Answer, Error> {
        let patience = match asked {
            Asked::AtOnce | Asked::Once => Some(PATIENCE),
            Asked::Operation => None,
        };
        // Its answer may come yet, and would be taken for that of another request.
        if self.link.is_broken() {
            self.reconnect()?;
        }
        let mut answer = self.link.exchange(request, patience);
        if matches!(
            (&answer, asked),
            (Err(Broken::Unread), _) | (Err(Broken::Unanswered), Asked::AtOnce)
        ) {
            self.reconnect()?;
            answer = self.link.exchange(request, patience);
        }
        answer.map_err(|broken| match broken {
            Broken::Unread | Broken::Unanswered => self.unanswered(),
            broken => self.error(broken),
        })
    }

    /// Whether the vmm is still there, now that it has not answered.
    fn unanswered(&mut self) -> Error {
        if let Err(error) = self.reconnect() {
            return error;
        }
        let status = request("GET", "/status", &[]);
        match self.link.exchange(&status, Some(PATIENCE)) {
            Ok(_) => Error::Unanswered(self.path.clone()),
            Err(broken) => self.error(broken),
        }
    }

    /// A new connection, to the process that the old one led to.
    fn reconnect(&mut self) -> Result<(), Error> {
        let ended = || Error::Ended(self.path.clone());
        let link = open(&self.path).map_err(|error| match error {
            Error::NoSocket(_) | Error::NobodyListens(_) => ended(),
            error => error,
        })?;
        match (self.link.listener(), link.listener()) {
            (Some(before), Some(now)) if before == now => {}
            // A process of later makes its socket where that of an earlier one was.
            (Some(_), Some(_)) => return Err(ended()),
            // In another PID namespace: whoever that is.
            _ => return Err(Error::Unanswered(self.path.clone())),
        }
        self.link = link;
        Ok(())
    }

    fn error(&self, broken: Broken) -> Error {
        let path = self.path.clone();
        match broken {
            Broken::Unread | Broken::Unanswered => Error::Ended(path),
            Broken::Silent => Error::Silent(path),
            Broken::NoHttp(what) => Error::NotAVmm { path, what },
            Broken::System(source) => Error::System { path, source },
        }
    }
}

/// Connects to the socket at `path`.
fn open(path: &Path) -> Result<Link, Error> {
    let owned = || path.to_path_buf();
    let is_socket = || {
        path.metadata()
            .is_ok_and(|found| found.file_type().is_socket())
    };
    Link::open(path, PATIENCE).map_err(|source| match source.kind() {
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
    })
}

#[cfg(test)]
#[path = "client_test.rs"]
mod tests;
