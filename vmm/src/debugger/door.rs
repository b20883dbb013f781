//! The socket, and how the thread behind it is told that the machine has ended.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, PoisonError};

use gdbstub::common::Signal;
use gdbstub::stub::MultiThreadStopReason;
use vmm_sys_util::eventfd::EventFd;

use super::address::Place;
use super::client::Client;
use crate::os::socket_file::{BindError, SocketFile};

/// Listens for a debugger.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix(SocketFile, Place),
    Tcp(TcpListener),
}

/// Why nobody can listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The Unix socket.
    #[error(transparent)]
    Unix(#[from] BindError),
    /// The port.
    #[error("cannot listen on {place}")]
    Tcp {
        /// The address.
        place: Place,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Listener {
    /// Listens at `place`.
    ///
    /// # Errors
    /// The address is in use, or cannot be listened at.
    pub fn bind(place: &Place) -> Result<Self, ListenError> {
        let socket = match place {
            Place::Unix(path) => Socket::Unix(SocketFile::bind(path)?, place.clone()),
            Place::Tcp(address) => {
                let failed = |source| ListenError::Tcp {
                    place: place.clone(),
                    source,
                };
                let listener = TcpListener::bind(address).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                Socket::Tcp(listener)
            }
        };
        Ok(Self { socket })
    }

    /// Where it listens, with the port that the kernel chose.
    ///
    /// # Errors
    /// What the socket says.
    pub fn place(&self) -> io::Result<Place> {
        match &self.socket {
            Socket::Unix(_, place) => Ok(place.clone()),
            Socket::Tcp(listener) => listener.local_addr().map(Place::Tcp),
        }
    }

    /// Whoever has come; `WouldBlock` when nobody has.
    pub(super) fn accept(&self) -> io::Result<Client> {
        match &self.socket {
            Socket::Unix(socket, _) => Client::unix(socket.accept()?),
            Socket::Tcp(listener) => Client::tcp(listener.accept()?.0),
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match &self.socket {
            Socket::Unix(socket, _) => socket.as_raw_fd(),
            Socket::Tcp(listener) => listener.as_raw_fd(),
        }
    }
}

/// What a debugger is told when the machine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// It ended with this exit code.
    Exited(u8),
    /// It was ended from outside.
    Interrupted,
}

impl Goodbye {
    pub(super) fn reason(self) -> MultiThreadStopReason<u64> {
        match self {
            Self::Exited(code) => MultiThreadStopReason::Exited(code),
            Self::Interrupted => MultiThreadStopReason::Terminated(Signal::SIGTERM),
        }
    }
}

/// How the debugger's thread is told that the machine has ended.
#[derive(Debug)]
pub struct Farewell {
    said: Mutex<Option<Goodbye>>,
    bell: EventFd,
}

impl Farewell {
    /// Nothing has been said.
    ///
    /// # Errors
    /// What eventfd says.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            said: Mutex::new(None),
            bell: EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?,
        })
    }

    /// The machine has ended: the thread tells its debugger and ends too.
    pub fn say(&self, goodbye: Goodbye) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.get_or_insert(goodbye);
        drop(said);
        // The counter of an eventfd cannot overflow here, and nothing else can fail.
        let _ = self.bell.write(1);
    }

    /// What was said.
    pub(super) fn said(&self) -> Option<Goodbye> {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRawFd for Farewell {
    fn as_raw_fd(&self) -> RawFd {
        self.bell.as_raw_fd()
    }
}
