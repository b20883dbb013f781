//! Sockets: connecting to a target, waiting for sources.

use std::fmt;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::error::Error;
use super::link::Channel;
use super::options::Security;
use super::pace::{Pace, Paced};
use super::tls;
use super::wire::Wire;
use crate::os::readable::wait_until_readable;
use crate::os::socket_file::SocketFile;
use crate::os::unix_socket;

impl Channel for UnixStream {
    fn set_slice(&self, slice: Duration) -> io::Result<()> {
        self.set_nonblocking(false)?;
        self.set_read_timeout(Some(slice))?;
        self.set_write_timeout(Some(slice))
    }

    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Channel for TcpStream {
    fn set_slice(&self, slice: Duration) -> io::Result<()> {
        self.set_nonblocking(false)?;
        self.set_nodelay(true)?;
        self.set_read_timeout(Some(slice))?;
        self.set_write_timeout(Some(slice))
    }

    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Connects to the target, as often as it takes.
pub(super) trait Dial {
    /// A connection ready for frames. Waits at most `limit` for it to be made.
    fn dial(&mut self, limit: Duration, pace: Pace) -> Result<Wire, Error>;
    /// The target's name.
    fn target(&self) -> String;
}

/// Waits for sources.
pub(super) trait Accept: Send + fmt::Debug {
    /// Waits until there may be a connection, at most for `patience`.
    fn wait(&self, patience: Duration);
    /// A connection, if there is one. Does not wait.
    fn accept(&mut self) -> io::Result<Option<Box<dyn Channel>>>;
    /// Makes frames travel over it.
    fn protect(&mut self, channel: Box<dyn Channel>, pace: Pace) -> Result<Wire, Error>;
}

/// Dials an [`Endpoint`].
#[derive(Debug)]
pub(super) struct Dialer {
    target: Endpoint,
    tls: Option<tls::Client>,
    insecure: bool,
}

impl Dialer {
    pub(super) fn new(target: &Endpoint, security: &Security) -> Result<Self, Error> {
        let tls = match (target, security) {
            (Endpoint::Unix(_), Security::Tls(_)) => {
                return Err(Error::TlsOverUnix(target.to_string()));
            }
            (Endpoint::Tcp { .. }, Security::Socket) => {
                return Err(Error::NeedsTls(target.to_string()));
            }
            (Endpoint::Tcp { host, .. }, Security::Tls(files)) => {
                Some(tls::Client::new(files, host)?)
            }
            (_, Security::Insecure | Security::Socket) => None,
        };
        Ok(Self {
            target: target.clone(),
            tls,
            insecure: *security == Security::Insecure,
        })
    }

    fn connect(&self, limit: Duration) -> Result<Box<dyn Channel>, Error> {
        let failed = |error| Error::Connect(self.target.to_string(), error);
        match &self.target {
            Endpoint::Unix(path) => {
                let stream = unix_socket::connect(path, limit).map_err(failed)?;
                Ok(Box::new(stream))
            }
            Endpoint::Tcp { host, port } => {
                let mut last = io::Error::other("the name has no address");
                for address in resolve(host, *port).map_err(failed)? {
                    if self.insecure && !is_loopback(&address) {
                        return Err(Error::NeedsTls(self.target.to_string()));
                    }
                    match TcpStream::connect_timeout(&address, limit) {
                        Ok(stream) => return Ok(Box::new(stream)),
                        Err(error) => last = error,
                    }
                }
                Err(failed(last))
            }
        }
    }
}

impl Dial for Dialer {
    fn dial(&mut self, limit: Duration, pace: Pace) -> Result<Wire, Error> {
        let channel = self.connect(limit)?;
        let paced = Paced::new(channel, pace.clone())
            .map_err(|error| Error::Connect(self.target.to_string(), error))?;
        match &self.tls {
            Some(tls) => tls.connect(paced, pace),
            None => Ok(Wire::new(Box::new(paced), pace)),
        }
    }

    fn target(&self) -> String {
        self.target.to_string()
    }
}

fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

fn is_loopback(address: &SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.to_canonical().is_loopback(),
    }
}

/// A listening socket. Its file goes away with it.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    tls: Option<tls::Server>,
}

#[derive(Debug)]
enum Socket {
    Unix(SocketFile),
    Tcp(TcpListener),
}

impl Listener {
    pub(super) fn new(listen: &Endpoint, security: &Security) -> Result<Self, Error> {
        let failed = |error| Error::Listen(listen.to_string(), error);
        let (socket, tls) = match (listen, security) {
            (Endpoint::Unix(_), Security::Tls(_)) => {
                return Err(Error::TlsOverUnix(listen.to_string()));
            }
            (Endpoint::Tcp { .. }, Security::Socket) => {
                return Err(Error::NeedsTls(listen.to_string()));
            }
            (Endpoint::Unix(path), _) => (Socket::Unix(SocketFile::bind(path)?), None),
            (Endpoint::Tcp { host, port }, security) => {
                let addresses = resolve(host, *port).map_err(failed)?;
                let tls = match security {
                    Security::Tls(files) => Some(tls::Server::new(files)?),
                    _ if addresses.iter().all(is_loopback) => None,
                    _ => return Err(Error::NeedsTls(listen.to_string())),
                };
                let listener = TcpListener::bind(&addresses[..]).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                (Socket::Tcp(listener), tls)
            }
        };
        Ok(Self { socket, tls })
    }

    /// Where it listens, with the port that the kernel chose.
    pub(super) fn address(&self, listen: &Endpoint) -> Endpoint {
        match (&self.socket, listen) {
            (Socket::Tcp(listener), Endpoint::Tcp { host, .. }) => Endpoint::Tcp {
                host: host.clone(),
                port: listener.local_addr().map_or(0, |address| address.port()),
            },
            _ => listen.clone(),
        }
    }
}

impl Accept for Listener {
    fn wait(&self, patience: Duration) {
        let socket = match &self.socket {
            Socket::Unix(socket) => socket.as_fd(),
            Socket::Tcp(socket) => socket.as_fd(),
        };
        wait_until_readable(socket, patience);
    }

    fn accept(&mut self) -> io::Result<Option<Box<dyn Channel>>> {
        let accepted: io::Result<Box<dyn Channel>> = match &self.socket {
            Socket::Unix(listener) => match listener.accept() {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(error),
            },
            Socket::Tcp(listener) => match listener.accept() {
                Ok((stream, _)) => Ok(Box::new(stream)),
                Err(error) => Err(error),
            },
        };
        match accepted {
            Ok(channel) => Ok(Some(channel)),
            // Aborted: the peer went away before we came; accept(2).
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::Interrupted
                        | io::ErrorKind::ConnectionAborted
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn protect(&mut self, channel: Box<dyn Channel>, pace: Pace) -> Result<Wire, Error> {
        let paced = Paced::new(channel, pace.clone()).map_err(|error| Error::Wire(error.into()))?;
        match &self.tls {
            Some(tls) => tls.accept(paced, pace),
            None => Ok(Wire::new(Box::new(paced), pace)),
        }
    }
}

#[cfg(test)]
#[path = "transport_test.rs"]
mod tests;
