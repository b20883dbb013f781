//! `--gdb` around a machine's life in this process.

use std::thread::{Builder, Scope};

use guest_payload::abi::Control;

use super::{Exit, Failure};
use crate::debugger::address::{Address, Start};
use crate::debugger::{Farewell, Goodbye, Listener, Server};
use crate::host;
use crate::host::debugging::Debugging;
use crate::machine::Machine;
use crate::machine::events::End;
use crate::machine::pause::PausedMachine;
use crate::report::output;
use crate::sandbox::Role;
use crate::vcpu::ending::Ending;

/// The socket of `--gdb`, and what the guest does until somebody comes.
#[derive(Debug)]
pub(super) struct Gdb {
    listener: Listener,
    start: Start,
    farewell: Farewell,
    debugging: Debugging,
}

impl Gdb {
    /// Listens.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2.
    pub(super) fn listen(address: &Address) -> Result<Self, Failure> {
        let listener = Listener::bind(&address.place)
            .map_err(|error| Failure::usage(anyhow::Error::from(error).context("--gdb")))?;
        Ok(Self {
            listener,
            start: address.start,
            farewell: Farewell::new().map_err(Failure::host)?,
            debugging: Debugging::try_it(&host::open_kvm().map_err(Failure::host)?)
                .map_err(Failure::host)?,
        })
    }

    /// Whether the guest waits for the debugger.
    pub(super) fn start(&self) -> Start {
        self.start
    }

    /// Serves debuggers on a thread of `scope` until [`Self::close`].
    ///
    /// # Errors
    /// [`Failure`] with exit code 3.
    pub(super) fn open<'scope, 'a: 'scope>(
        &'a self,
        scope: &'scope Scope<'scope, '_>,
        machine: &'a Machine,
        held: Option<PausedMachine<'a>>,
    ) -> Result<(), Failure> {
        let server = Server::new(machine, &self.listener, &self.farewell, self.debugging)
            .map_err(Failure::host)?;
        let waits = match self.start {
            Start::Held => "the guest waits for a debugger",
            Start::Running => "a debugger may come",
        };
        let place = self.listener.place().map_err(Failure::host)?;
        output::print_aside(format!("vmm: {waits}: gdb -ex 'target remote {place}'\n").as_bytes());
        Builder::new()
            .name("gdb".to_owned())
            .spawn_scoped(scope, move || {
                machine.sandbox().enter(Role::Debugger);
                server.serve(held);
            })
            .map_err(Failure::host)?;
        Ok(())
    }

    /// Tells the debugger how the machine ended, and lets nobody in any more.
    pub(super) fn close(&self, end: Option<&End>) {
        self.farewell.say(end.map_or(Goodbye::Interrupted, goodbye));
    }
}

/// The exit code as far as it is known before the report is made.
fn goodbye(end: &End) -> Goodbye {
    let exit = match end {
        End::Interrupted | End::Console => return Goodbye::Interrupted,
        End::Guest(Ending::DebugExit(value)) => Exit::DebugExit(*value),
        End::Guest(
            Ending::Exit(Control::ExitPassed)
            | Ending::Reset
            | Ending::PowerOff
            | Ending::Stopped
            | Ending::Left,
        ) => Exit::Done,
        End::Guest(Ending::Crashed(_) | Ending::Failed(..)) => Exit::GuestCrashed,
        End::Guest(Ending::Exit(_)) | End::Timeout | End::Hung(_) => Exit::CheckFailed,
    };
    Goodbye::Exited(exit.into())
}
