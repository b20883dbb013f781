//! What each thread may ask of the kernel: a list of system calls for each role, from the moment
//! that its work begins. Whatever takes a thread over cannot do more than the thread can.
//!
//! The lists are in [`calls`], a row with its reason for each call; `docs/reference/sandbox.md` is made of
//! them. A filter is for one thread and for those that it starts, and can only become narrower:
//! so the first thread, which starts the others, takes its own last.

pub mod call;
pub mod calls;
mod log;
mod program;
mod role;

use std::sync::{Arc, OnceLock};
use std::thread;

use seccompiler::{BpfProgram, SeccompAction};

pub use role::Role;

use crate::error_chain::in_one_line;
use crate::os::{landlock, seccomp, seccomp_listener, signal};
use crate::report::output;

/// `--sandbox`: what becomes of a thread that makes a system call which is not on its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// A system call that a thread does not need ends the process, with one line.
    #[default]
    On,
    /// Every thread may make every system call.
    Off,
    /// It is told in one line, and carried out.
    Log,
}

/// The filters of one process.
#[derive(Clone, Debug)]
pub struct Sandbox {
    mode: Mode,
    programs: Arc<[OnceLock<BpfProgram>; Role::ALL.len()]>,
}

/// Why a thread cannot be confined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table that is none.
    #[error("the list of system calls of {0} is no filter: {1}")]
    Program(Role, seccompiler::BackendError),
    /// The kernel has no filters, or none that do what the mode wants.
    #[error(
        "this kernel does not filter system calls as --sandbox {mode} needs it; run with --sandbox off, \
         or on a kernel with CONFIG_SECCOMP_FILTER"
    )]
    Missing {
        /// The mode.
        mode: &'static str,
        /// What the kernel says.
        #[source]
        source: std::io::Error,
    },
    /// The kernel has filters, and none for this process.
    #[error("this kernel does not take a filter of system calls; run with --sandbox off")]
    Filter(#[source] seccompiler::Error),
    /// As [`Error::Filter`], under [`Mode::Log`].
    #[error("this kernel does not tell of system calls; run with --sandbox off or on")]
    Log(#[source] std::io::Error),
    /// The kernel has Landlock and refuses it.
    #[error("Landlock cannot be used; run with --sandbox off")]
    Landlock(#[source] std::io::Error),
    /// The handler of SIGSYS.
    #[error("the signal that a forbidden system call sends cannot be taken")]
    Handler(#[source] std::io::Error),
}

impl Sandbox {
    /// Every thread may do everything: the library's default.
    pub fn off() -> Self {
        Self::unchecked(Mode::Off)
    }

    fn unchecked(mode: Mode) -> Self {
        Self {
            mode,
            programs: Arc::default(),
        }
    }

    /// Makes ready what the threads of this process will need, and asks the kernel whether it can
    /// do that: nothing has run yet.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Handler`].
    pub fn new(mode: Mode) -> Result<Self, Error> {
        let needed = match mode {
            Mode::On => Some(("on", libc::SECCOMP_RET_TRAP)),
            Mode::Off => None,
            Mode::Log => Some(("log", seccomp_listener::ASK)),
        };
        if let Some((mode, action)) = needed {
            seccomp::look_for(action).map_err(|source| Error::Missing { mode, source })?;
        }
        if mode == Mode::On {
            seccomp::install_handler().map_err(Error::Handler)?;
        }
        Ok(Self::unchecked(mode))
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Confines the calling thread to what `role` needs, for good. The process ends where that
    /// fails: nothing runs that was to be confined and is not.
    pub fn enter(&self, role: Role) {
        if let Err(error) = self.try_enter(role) {
            let thread = thread::current();
            let name = thread.name().unwrap_or("without a name");
            let line = format!("vmm: thread {name}: {}\n", in_one_line(&error));
            output::print_aside(line.as_bytes());
            std::process::exit(HOST_CANNOT);
        }
    }

    fn try_enter(&self, role: Role) -> Result<(), Error> {
        let otherwise = match self.mode {
            Mode::Off => return Ok(()),
            Mode::On => SeccompAction::Trap.into(),
            Mode::Log => seccomp_listener::ASK,
        };
        if self.mode == Mode::Log && role.starts_threads() {
            // They would be overheard as this one, and not as what they are.
            return Ok(());
        }
        if !role.is_first_thread() {
            signal::leave_to_first_thread();
        }
        let thread = thread::current();
        let who = format!("{} ({role})", thread.name().unwrap_or("-"));
        let built = &self.programs[role as usize];
        let program = match built.get() {
            Some(program) => program,
            None => {
                let new = program::program(role.calls(), std::process::id(), otherwise)
                    .map_err(|error| Error::Program(role, error))?;
                built.get_or_init(|| new)
            }
        };
        if self.mode == Mode::Log {
            return log::confine(who, program).map_err(Error::Log);
        }
        landlock::deny(role.denied()).map_err(Error::Landlock)?;
        seccomp::name_this_thread(&who);
        seccompiler::apply_filter(program).map_err(Error::Filter)
    }
}

/// The exit code of a host that cannot do what it is asked for.
const HOST_CANNOT: i32 = 3;

#[cfg(test)]
mod page_test;
#[cfg(test)]
mod role_test;
