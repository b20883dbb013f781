//! A filter that asks: somebody else hears of each system call that is not on the list, before it is
//! carried out (`SECCOMP_RET_USER_NOTIF`, Linux 5.0; `CONTINUE`, 5.5).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use seccompiler::sock_filter;
use vmm_sys_util::ioctl::{_IOC_READ, _IOC_WRITE, ioctl_expr};

/// What a filter returns for a call to ask about.
pub const ASK: u32 = libc::SECCOMP_RET_USER_NOTIF;

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`: signals wait while a call is being heard of, so that one
/// which knows no EINTR does not end with it.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
/// `SECCOMP_IOC_MAGIC`.
const MAGIC: u32 = b'!' as u32;
/// `SECCOMP_IOCTL_NOTIF_RECV`.
const RECV: u64 = both_ways::<libc::seccomp_notif>(0);
/// `SECCOMP_IOCTL_NOTIF_SEND`.
const SEND: u64 = both_ways::<libc::seccomp_notif_resp>(1);

#[expect(clippy::cast_possible_truncation, reason = "less than 100 bytes")]
const fn both_ways<T>(number: u32) -> u64 {
    ioctl_expr(_IOC_READ | _IOC_WRITE, MAGIC, number, size_of::<T>() as u32)
}

/// Where the filter of one thread asks.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A call whose thread waits.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    id: u64,
    /// Which call.
    pub call: i64,
    /// Its second argument.
    pub second_argument: u64,
}

impl Listener {
    /// Gives the calling thread a filter that returns [`ASK`] for some calls. From now on they wait
    /// until another thread has answered.
    ///
    /// # Errors
    /// EBUSY: another filter of this thread asks already.
    pub fn install(program: &[sock_filter]) -> io::Result<Self> {
        let program = libc::sock_fprog {
            len: u16::try_from(program.len()).map_err(io::Error::other)?,
            // As the kernel has it, member by member; it is only read.
            filter: program.as_ptr().cast_mut().cast(),
        };
        // SAFETY: passes no memory.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let install = |flags: libc::c_ulong| {
            // SAFETY: the program lives through the call, which copies it.
            let fd = unsafe {
                libc::syscall(
                    libc::SYS_seccomp,
                    libc::SECCOMP_SET_MODE_FILTER,
                    flags,
                    &raw const program,
                )
            };
            match i32::try_from(fd) {
                // SAFETY: new, and nobody else's.
                Ok(fd) if fd >= 0 => Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) })),
                _ => Err(io::Error::last_os_error()),
            }
        };
        let listens = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        match install(listens | WAIT_KILLABLE_RECV) {
            // Before Linux 5.19 a signal takes a thread out of a call that is being heard of.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => install(listens),
            installed => installed,
        }
    }

    /// Waits until there is a call to hear of; false when all who could make one have ended.
    pub fn wait(&self) -> bool {
        loop {
            let mut poll = libc::pollfd {
                fd: self.0.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one entry, which is on the stack and lives through the call.
            let found = unsafe { libc::poll(&raw mut poll, 1, -1) };
            if found > 0 {
                return poll.revents & libc::POLLIN != 0;
            }
            let interrupted = io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
            if found < 0 && !interrupted {
                return false;
            }
        }
    }

    /// The next call; waits for it.
    ///
    /// # Errors
    /// ENOENT: a signal has taken the thread out of the call. EINTR.
    pub fn hear(&self) -> io::Result<Asked> {
        // SAFETY: all zero bytes are a seccomp_notif, and the kernel wants it so.
        let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: writes the notice, which lives through the call.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), RECV, &raw mut notice) } {
            0 => Ok(Asked {
                id: notice.id,
                call: notice.data.nr.into(),
                second_argument: notice.data.args[1],
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Has it carried out.
    ///
    /// # Errors
    /// ENOENT: the thread has been killed meanwhile. EINVAL: this kernel (before Linux 5.5) cannot.
    pub fn let_through(&self, asked: Asked) -> io::Result<()> {
        let answer = libc::seccomp_notif_resp {
            id: asked.id,
            val: 0,
            error: 0,
            #[expect(clippy::cast_possible_truncation, reason = "1")]
            flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        };
        // SAFETY: reads the answer, which lives through the call.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), SEND, &raw const answer) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
