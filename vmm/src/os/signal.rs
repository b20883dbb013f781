//! Signals: the one that sends a vCPU thread out of KVM_RUN, and those that end a run.

use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::os::raw::{c_int, c_void};

use vmm_sys_util::signal::{
    SIGRTMIN, block_signal, create_sigset, register_signal_handler, unblock_signal,
};

/// A thread of this process, to be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadId(libc::pid_t);

impl ThreadId {
    /// The calling thread.
    pub fn current() -> Self {
        // SAFETY: no arguments, cannot fail.
        Self(unsafe { libc::gettid() })
    }

    /// Sends SIGRTMIN, whose handler does nothing: a system call returns EINTR. A thread that has
    /// ended already is left alone.
    pub fn interrupt(self) {
        // SAFETY: a signal to a thread of our own; the handler is installed before threads start.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.0, SIGRTMIN()) };
    }
}

extern "C" fn do_nothing(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {}

/// Installs the handler of SIGRTMIN. Once, before the first vCPU thread.
///
/// # Errors
/// What sigaction says.
pub fn install_interrupt_handler() -> io::Result<()> {
    register_signal_handler(SIGRTMIN(), do_nothing).map_err(io::Error::from)
}

/// Takes SIGINT and SIGTERM as readable data instead of as signals. Call it before any other
/// thread starts: they inherit the blocked signals.
///
/// # Errors
/// What the system calls say.
pub fn end_signals() -> io::Result<File> {
    let signals = [libc::SIGINT, libc::SIGTERM];
    for signal in signals {
        block_signal(signal).map_err(|e| io::Error::other(e.to_string()))?;
    }
    let set = create_sigset(&signals).map_err(io::Error::from)?;
    // SAFETY: a new descriptor for an initialized set.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// A file that outgrows `ulimit -f` is from now on an error of the write, EFBIG, and not the end of
/// the process and of the guest in it.
pub fn ignore_file_size_signal() {
    // SAFETY: no handler of ours is called; Rust sets SIGPIPE in the same way.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Leaves the signals that are sent to the process to its first thread. Those that a thread causes
/// itself (a fault, an abort, a forbidden system call) still come to it, and so does the one that
/// interrupts it.
pub fn leave_to_first_thread() {
    /// Caused by the thread itself.
    const OWN: [c_int; 7] = [
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGSEGV,
        libc::SIGSYS,
    ];
    // SAFETY: all zero bytes are a sigset_t; the calls fill and read it, and it lives through them.
    // SIGRTMIN is a signal, so nothing of it fails.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        for signal in OWN.into_iter().chain([SIGRTMIN()]) {
            libc::sigdelset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// SIGINT and SIGTERM end the process again, as before [`end_signals`].
pub fn end_by_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // Fails for numbers that are no signals.
        let _ = unblock_signal(signal);
    }
}
