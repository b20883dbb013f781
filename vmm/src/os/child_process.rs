//! A child that takes signals as if a shell had started it, and does not outlive its parent.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Has the process of `command` start with no signal blocked, and the kernel kill it when the
/// thread that starts it ends, however that comes about. Start it from a thread that lives as long
/// as the child is wanted.
pub fn fresh_and_mortal(command: &mut Command) {
    // SAFETY: no arguments, cannot fail.
    let parent = unsafe { libc::getpid() };
    let prepare = move || {
        // SAFETY: a set on the stack is emptied and taken; the old one is not asked for.
        unsafe {
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        }
        // SAFETY: no memory is passed.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // It may have ended before it was asked for.
        // SAFETY: no arguments, cannot fail.
        if unsafe { libc::getppid() } == parent {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: between fork and exec `prepare` makes system calls only, which are
    // async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Kills a child that was started as the leader of a process group of its own, and all in that
/// group. The child is still to be waited for.
pub fn kill_group(child: &Child) {
    let Ok(group) = libc::pid_t::try_from(child.id()) else {
        return;
    };
    // SAFETY: no memory is passed. The child has not been waited for, so its ID is nobody else's.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}
