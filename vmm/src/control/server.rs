//! Accepts connections and gives each a thread.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread::{Builder, Scope};

use super::connection;
use super::connections::{self, Connections};
use super::limits::Limits;
use super::operations::Operations;
use super::response::{After, Code, Content, Response};
use crate::os::socket_file::SocketFile;
use crate::sandbox::{Role, Sandbox};

/// Accepted at once; the rest waits until the loop has looked at its other events.
const BATCH: usize = 16;

/// The API's server side, for a loop that polls its descriptor, level-triggered, and calls
/// [`Self::accept`] when that is readable.
///
/// Nothing that a client does, or does not do, makes a method of this type wait.
///
/// ```no_run
/// # use vmm::control::{Operations, Server};
/// # use vmm::os::socket_file::SocketFile;
/// # fn is_readable<T>(_: &T) -> bool { true }
/// # fn serve(listener: SocketFile, operations: &dyn Operations) {
/// std::thread::scope(|scope| {
///     let server = Server::new(listener, operations);
///     while is_readable(&server) {
///         server.accept(scope);
///     }
///     server.close();
/// });
/// # }
/// ```
pub struct Server<'a> {
    listener: SocketFile,
    operations: &'a dyn Operations,
    limits: Limits,
    sandbox: Sandbox,
    connections: Arc<Connections>,
    /// Given up where descriptors have run out: a connection that cannot be accepted would keep
    /// the listener readable, and the loop busy.
    spare: Cell<Option<UnixListener>>,
}

impl fmt::Debug for Server<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("limits", &self.limits)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl<'a> Server<'a> {
    /// Serves `operations` to those who connect to `listener`.
    pub fn new(listener: SocketFile, operations: &'a dyn Operations) -> Self {
        Self::with_limits(listener, operations, Limits::default())
    }

    /// [`Self::new`] with other time limits.
    pub fn with_limits(
        listener: SocketFile,
        operations: &'a dyn Operations,
        limits: Limits,
    ) -> Self {
        Self {
            spare: Cell::new(listener.spare().ok()),
            listener,
            operations,
            limits,
            sandbox: Sandbox::off(),
            connections: Arc::default(),
        }
    }

    /// With connections whose threads are confined by `sandbox`.
    pub fn confined(self, sandbox: Sandbox) -> Self {
        Self { sandbox, ..self }
    }

    /// Takes the connections that wait, some at a time, each into a thread of `scope` that ends
    /// with it. Whoever is too much is told so with 503.
    pub fn accept<'scope>(&self, scope: &'scope Scope<'scope, '_>)
    where
        'a: 'scope,
    {
        for _ in 0..BATCH {
            match self.listener.accept() {
                Ok(stream) => self.hand_over(scope, stream),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => self.shed(),
                },
            }
        }
    }

    /// Ends the connections on which no operation runs; one on which one runs ends after its
    /// answer. So the threads of the scope end as soon as the operations do.
    ///
    /// New connections are refused from now on. The socket file goes with the server.
    pub fn close(&self) {
        self.connections.close();
    }

    fn hand_over<'scope>(&self, scope: &'scope Scope<'scope, '_>, stream: UnixStream)
    where
        'a: 'scope,
    {
        let place = match self.connections.admit(stream) {
            Ok(place) => place,
            Err(stream) => {
                let busy = Response::error(Code::Busy, "too many connections; try again");
                let busy = busy.render(After::Close, Content::Sent);
                return connections::send_and_close(stream, &busy);
            }
        };
        let (operations, limits) = (self.operations, self.limits);
        let sandbox = self.sandbox.clone();
        let serve = move || {
            sandbox.enter(Role::Api);
            connection::serve(&place, operations, &limits);
        };
        // Without a thread the place is given up and the connection ends.
        drop(
            Builder::new()
                .name("api".to_owned())
                .spawn_scoped(scope, serve),
        );
    }

    /// Ends one connection for which there is no descriptor.
    fn shed(&self) {
        drop(self.spare.take());
        drop(self.listener.accept());
        self.spare.set(self.listener.spare().ok());
    }
}

impl AsFd for Server<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl AsRawFd for Server<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}

#[cfg(test)]
#[path = "server_test.rs"]
mod tests;
