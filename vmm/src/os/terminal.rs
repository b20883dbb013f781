//! A terminal in raw mode: every key goes to the guest, Ctrl-C too.
//!
//! The user's shell needs it back as it was, however this process ends or stops. Dropping
//! [`RawTerminal`] gives it back; so do the signals that end a process, a panic among them (it
//! aborts), and those that stop it. Only SIGKILL and SIGSTOP leave no time.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::raw::c_int;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// End the process, and are not taken as data (`os::signal`).
const FATAL: [c_int; 18] = [
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGSYS,
    libc::SIGXCPU,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTRAP,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGPOLL,
    libc::SIGPWR,
    libc::SIGSTKFLT,
];

/// The terminal's two modes. Never freed: a handler may be looking at it.
#[derive(Debug)]
struct Modes {
    terminal: File,
    users: libc::termios,
    raw: libc::termios,
}

/// The terminal that is raw, for the handlers. Release when it is set, so that a handler which
/// loads it with Acquire sees the modes behind it.
static TAKEN: AtomicPtr<Modes> = AtomicPtr::new(ptr::null_mut());

/// A terminal in raw mode, for as long as this lives.
#[derive(Debug)]
pub struct RawTerminal {
    modes: &'static Modes,
    /// The handlers that were there before.
    before: Vec<(c_int, libc::sigaction)>,
}

/// Who may use a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// This process, or nobody keeps the terminal's jobs apart.
    Fore,
    /// Another job: to touch the terminal would stop this process.
    Back,
}

fn ground(terminal: RawFd) -> Ground {
    // SAFETY: neither passes memory. Both are async-signal-safe.
    let (front, own) = unsafe { (libc::tcgetpgrp(terminal), libc::getpgrp()) };
    if front > 0 && front != own {
        Ground::Back
    } else {
        Ground::Fore
    }
}

/// Async-signal-safe, as POSIX has tcsetattr.
fn set(terminal: RawFd, mode: &libc::termios) -> io::Result<()> {
    // SAFETY: an initialized termios that lives through the call.
    match unsafe { libc::tcsetattr(terminal, libc::TCSANOW, mode) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Modes {
    fn of(terminal: File) -> io::Result<Self> {
        // SAFETY: all zero bytes are a termios; the call fills it.
        let mut users: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: a termios to fill.
        if unsafe { libc::tcgetattr(terminal.as_raw_fd(), &raw mut users) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut raw = users;
        // SAFETY: changes the termios and nothing else.
        unsafe { libc::cfmakeraw(&raw mut raw) };
        // What this process and the guest print keeps its line ends.
        raw.c_oflag = users.c_oflag;
        Ok(Self {
            terminal,
            users,
            raw,
        })
    }

    fn give_back(&self) {
        let terminal = self.terminal.as_raw_fd();
        if ground(terminal) == Ground::Fore {
            // A terminal that went away needs nothing.
            let _ = set(terminal, &self.users);
        }
    }

    fn take(&self) -> io::Result<()> {
        set(self.terminal.as_raw_fd(), &self.raw)
    }
}

/// Gives the terminal back, if one is raw, because the process ends. Async-signal-safe.
pub(super) fn give_back() {
    if let Some(modes) = taken() {
        modes.give_back();
    }
}

/// The modes, if a terminal is raw.
fn taken() -> Option<&'static Modes> {
    // SAFETY: null, or a pointer to modes that are never freed.
    unsafe { TAKEN.load(Ordering::Acquire).as_ref() }
}

extern "C" fn end(signal: c_int) {
    give_back();
    // SAFETY: async-signal-safe. The signal is blocked until the handler returns, and then ends the
    // process as if there had been no handler, which has gone (SA_RESETHAND).
    unsafe { libc::raise(signal) };
}

extern "C" fn stop(_: c_int) {
    if let Some(modes) = taken() {
        modes.give_back();
    }
    // SAFETY: async-signal-safe, and passes no memory. SIGSTOP stops all threads.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

extern "C" fn go_on(_: c_int) {
    if let Some(modes) = taken()
        && ground(modes.terminal.as_raw_fd()) == Ground::Fore
    {
        // The shell has set its own mode meanwhile. If this fails, the terminal is gone.
        let _ = modes.take();
    }
}

/// Installs `handler` and returns the one before.
fn handle(
    signal: c_int,
    handler: extern "C" fn(c_int),
    more_flags: c_int,
) -> io::Result<libc::sigaction> {
    // SAFETY: all zero bytes are a sigaction: no flags, an empty mask.
    let (mut new, mut old): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    new.sa_sigaction = handler as *const () as usize;
    // On the alternate stack where there is one: the cause may be that the stack is used up.
    new.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK | more_flags;
    // SAFETY: both live through the call; the handlers call only what is async-signal-safe.
    match unsafe { libc::sigaction(signal, &raw const new, &raw mut old) } {
        0 => Ok(old),
        _ => Err(io::Error::last_os_error()),
    }
}

impl RawTerminal {
    /// Takes the terminal `file`; nothing if another job has it.
    ///
    /// # Errors
    /// What the system calls say; another terminal is taken already. The terminal is as it was.
    pub fn take(file: File) -> io::Result<Option<Self>> {
        if ground(file.as_raw_fd()) == Ground::Back {
            return Ok(None);
        }
        let modes: &'static mut Modes = Box::leak(Box::new(Modes::of(file)?));
        let pointer: *mut Modes = modes;
        // Release pairs with the handlers' Acquire.
        let published = TAKEN.compare_exchange(
            ptr::null_mut(),
            pointer,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if published.is_err() {
            return Err(io::Error::from(io::ErrorKind::ResourceBusy));
        }
        // SAFETY: leaked, and from here on only shared.
        let modes: &'static Modes = unsafe { &*pointer };
        let mut raw = Self {
            modes,
            before: Vec::new(),
        };
        // From here on `raw` undoes what has been done.
        let handlers: [(c_int, extern "C" fn(c_int), c_int); 2] =
            [(libc::SIGTSTP, stop, 0), (libc::SIGCONT, go_on, 0)];
        let fatal = FATAL.map(|signal| (signal, end as extern "C" fn(c_int), libc::SA_RESETHAND));
        for (signal, handler, more_flags) in fatal.into_iter().chain(handlers) {
            let before = handle(signal, handler, more_flags)?;
            raw.before.push((signal, before));
            if signal == libc::SIGSYS && before.sa_sigaction != libc::SIG_DFL {
                // The sandbox's (`os::seccomp`), which gives the terminal back itself.
                raw.put_back(signal, &before);
            }
        }
        modes.take()?;
        Ok(Some(raw))
    }

    fn put_back(&self, signal: c_int, before: &libc::sigaction) {
        // SAFETY: what was there before, so it can be there again.
        unsafe { libc::sigaction(signal, before, ptr::null_mut()) };
    }

    /// The terminal.
    pub fn file(&self) -> &File {
        &self.modes.terminal
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        self.modes.give_back();
        // Relaxed: nothing is handed over.
        TAKEN.store(ptr::null_mut(), Ordering::Relaxed);
        // A SIGCONT that came between the two has taken it again.
        self.modes.give_back();
        for (signal, before) in &self.before {
            self.put_back(*signal, before);
        }
    }
}

#[cfg(test)]
#[path = "terminal_test.rs"]
mod tests;
