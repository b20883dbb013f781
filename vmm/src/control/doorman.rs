//! The thread that lets clients in, each into a thread of its own.
//!
//! It does nothing else, so that no other thread has to be allowed to start threads.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

use super::Server;
use crate::os::readable::wait_until_any_readable;
use crate::sandbox::{Role, Sandbox};

/// How long it waits at a time.
const LONG: Duration = Duration::from_secs(3600);

/// The thread at the door. It goes when this is dropped.
#[derive(Debug)]
pub struct Doorman<'scope, 'a> {
    thread: ScopedJoinHandle<'scope, Server<'a>>,
    /// Its other end becomes readable when this is closed.
    stays: PipeWriter,
}

impl<'scope, 'a: 'scope> Doorman<'scope, 'a> {
    /// Posts it at the door of `server`, whose connections get threads of `scope`.
    ///
    /// # Errors
    /// No descriptors or no thread.
    pub fn post(
        scope: &'scope Scope<'scope, '_>,
        server: Server<'a>,
        sandbox: &Sandbox,
    ) -> io::Result<Self> {
        let (goes, stays) = io::pipe()?;
        let sandbox = sandbox.clone();
        let server = server.confined(sandbox.clone());
        let stand = move || {
            sandbox.enter(Role::Door);
            stand(scope, &server, &goes);
            server.close();
            server
        };
        let thread = Builder::new()
            .name("api-door".to_owned())
            .spawn_scoped(scope, stand)?;
        Ok(Self { thread, stays })
    }

    /// Lets nobody in any more. The socket file goes with what comes back.
    pub fn relieve(self) -> Option<Server<'a>> {
        drop(self.stays);
        // A thread that panicked has said so on standard error.
        self.thread.join().ok()
    }
}

fn stand<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &Server<'a>,
    goes: &PipeReader,
) {
    loop {
        let [goes, knocks] =
            wait_until_any_readable([Some(goes.as_fd()), Some(server.as_fd())], LONG);
        if goes {
            return;
        }
        if knocks {
            server.accept(scope);
        }
    }
}
