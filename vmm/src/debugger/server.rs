//! The debugger's thread: waits for one, serves it, waits for the next.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use super::client::Client;
use super::door::{Farewell, Listener};
use super::session::{self, Event, Leave};
use super::target::Debugged;
use crate::host::debugging::Debugging;
use crate::machine::Machine;
use crate::machine::pause::PausedMachine;
use crate::report::output;
use crate::vcpu::ending::Ending;

/// What the thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Farewell,
    Listener,
    Client,
    Stops,
}

impl Source {
    const ALL: [Self; 4] = [Self::Farewell, Self::Listener, Self::Client, Self::Stops];
}

/// Lets debuggers in, one at a time.
#[derive(Debug)]
pub struct Server<'a> {
    machine: &'a Machine,
    listener: &'a Listener,
    farewell: &'a Farewell,
    epoll: Epoll,
    debugging: Debugging,
}

impl<'a> Server<'a> {
    /// For a machine whose threads have been started, on a host that can do `debugging`.
    ///
    /// # Errors
    /// What epoll says.
    pub fn new(
        machine: &'a Machine,
        listener: &'a Listener,
        farewell: &'a Farewell,
        debugging: Debugging,
    ) -> io::Result<Self> {
        let server = Self {
            machine,
            listener,
            farewell,
            epoll: Epoll::new()?,
            debugging,
        };
        server.add(listener, Source::Listener)?;
        server.add(farewell, Source::Farewell)?;
        server.add(machine.board.stops.bell()?, Source::Stops)?;
        Ok(server)
    }

    fn add(&self, what: &impl AsRawFd, source: Source) -> io::Result<()> {
        let event = EpollEvent::new(EventSet::IN, source as u64);
        self.epoll
            .ctl(ControlOperation::Add, what.as_raw_fd(), event)
    }

    /// Serves until the machine has ended. `held` keeps the guest from its first instruction until
    /// the first debugger has it.
    pub fn serve(&self, mut held: Option<PausedMachine<'a>>) {
        while self.farewell.said().is_none() {
            if self.wait() == Some(Source::Listener)
                && let Some(client) = self.accept()
            {
                self.debug(client, &mut held);
            }
        }
    }

    /// Serves a debugger that is connected already, until it leaves.
    ///
    /// # Errors
    /// What the socket says.
    pub fn serve_one(&self, stream: UnixStream) -> io::Result<()> {
        self.debug(Client::unix(stream)?, &mut None);
        Ok(())
    }

    fn debug(&self, client: Client, held: &mut Option<PausedMachine<'a>>) {
        let attached = Debugged::attach(self.machine, self.debugging);
        let mut target = match attached {
            Ok(target) => target,
            Err(_) => {
                say("a debugger was turned away: a migration is under way");
                return;
            }
        };
        if self.add(&client, Source::Client).is_err() {
            return;
        }
        // The target has its own hold now. One that was turned away lets nobody go.
        *held = None;
        match session::serve(client, &mut target, |_| self.event()) {
            Leave::Detached | Leave::Ended => {}
            Leave::Killed => {
                self.machine.board.end(Ending::Stopped);
            }
            Leave::Failed(error) => say(&format!("the debugger was let go: {error}")),
        }
    }

    /// What happens next to the debugger that is there. Another one is turned away.
    fn event(&self) -> Event {
        loop {
            if let Some(goodbye) = self.farewell.said() {
                return Event::End(goodbye);
            }
            match self.wait() {
                Some(Source::Client) => return Event::Packet,
                Some(Source::Stops) => return Event::Stop,
                Some(Source::Listener) => drop(self.accept()),
                Some(Source::Farewell) | None => {}
            }
        }
    }

    fn accept(&self) -> Option<Client> {
        self.listener.accept().ok()
    }

    /// The first source that has something.
    fn wait(&self) -> Option<Source> {
        let mut events = [EpollEvent::default(); Source::ALL.len()];
        let count = self.epoll.wait(-1, &mut events).unwrap_or(0);
        let ready = &events[..count.min(events.len())];
        let is_ready = |source: &Source| ready.iter().any(|event| event.data() == *source as u64);
        Source::ALL.into_iter().find(is_ready)
    }
}

fn say(what: &str) {
    output::print_aside(format!("vmm: {what}\n").as_bytes());
}
