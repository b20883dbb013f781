//! Landlock: what a thread may do to files and ports from now on, whatever its user may.
//!
//! Linux 5.13, where it is among the security modules that were booted with. Only what this program
//! needs: taking rights away from everything, without exceptions.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

/// `LANDLOCK_CREATE_RULESET_VERSION`.
const ASK_VERSION: u32 = 1;

/// `LANDLOCK_ACCESS_FS_*` (include/uapi/linux/landlock.h).
const EXECUTE: u64 = 1 << 0;
const REMOVE_DIR: u64 = 1 << 4;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
/// All of version 1.
const FS_FIRST: u64 = (1 << 13) - 1;
/// What version 2, 3 and 5 add: REFER, TRUNCATE, IOCTL_DEV.
const FS_LATER: [(i32, u64); 3] = [(2, 1 << 13), (3, 1 << 14), (5, 1 << 15)];
/// `LANDLOCK_ACCESS_NET_BIND_TCP` and `..._CONNECT_TCP`, and the version that knows them first.
const NET: u64 = 0b11;
pub const NET_SINCE: i32 = 4;

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deny {
    /// Every file that is not open already, and every TCP port.
    Everything,
    /// Executing; making folders, links, sockets, pipes and devices; TCP.
    AllButPlainFiles,
    /// As [`Self::AllButPlainFiles`], but TCP.
    AllButPlainFilesAndTcp,
}

/// Which version this kernel has; `None` without Landlock.
pub fn version() -> Option<i32> {
    // SAFETY: asks for the version, which passes no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<u8>(),
            0_usize,
            ASK_VERSION,
        )
    };
    i32::try_from(version).ok().filter(|version| *version > 0)
}

/// `struct landlock_ruleset_attr`, of which older kernels know the first member only.
#[repr(C)]
struct Handled {
    fs: u64,
    net: u64,
}

impl Deny {
    fn handled(self, version: i32) -> Handled {
        let later = FS_LATER.iter().filter(|(since, _)| version >= *since);
        let all = later.fold(FS_FIRST, |all, (_, right)| all | right);
        let strange = EXECUTE
            | REMOVE_DIR
            | MAKE_CHAR
            | MAKE_DIR
            | MAKE_SOCK
            | MAKE_FIFO
            | MAKE_BLOCK
            | MAKE_SYM;
        let net = if version >= NET_SINCE { NET } else { 0 };
        match self {
            Self::Everything => Handled { fs: all, net },
            Self::AllButPlainFiles => Handled { fs: strange, net },
            Self::AllButPlainFilesAndTcp => Handled {
                fs: strange,
                net: 0,
            },
        }
    }
}

/// Takes rights away from the calling thread and those it starts, for good, as far as this kernel can.
///
/// # Errors
/// A kernel that has Landlock and refuses.
pub fn deny(deny: Deny) -> io::Result<()> {
    let Some(version) = version() else {
        return Ok(());
    };
    let handled = deny.handled(version);
    let size = if version >= NET_SINCE {
        size_of::<Handled>()
    } else {
        size_of::<u64>()
    };
    // SAFETY: the attributes live through the call, and `size` of their bytes are read.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const handled,
            size,
            0_u32,
        )
    };
    let Ok(fd @ 0..) = i32::try_from(fd) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: new, and nobody else's.
    let rules = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: passes no memory.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: passes no memory.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::thread;

    use super::*;

    /// Does `work` in a thread from which rights have been taken; nothing without Landlock.
    fn without<T: Send + 'static>(
        what: Deny,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Option<io::Result<T>> {
        if version().is_none() {
            eprintln!("skipped: this kernel has no Landlock");
            return None;
        }
        let thread = thread::spawn(move || {
            deny(what).unwrap();
            work()
        });
        Some(thread.join().unwrap())
    }

    #[test]
    fn nothing_can_be_opened_without_any_right() {
        if let Some(opened) = without(Deny::Everything, || File::open("/dev/null")) {
            assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        File::open("/dev/null").unwrap();
    }

    #[test]
    fn plain_files_are_still_written_where_folders_are_not_made() {
        let folder = std::env::temp_dir().join(format!("vmm-landlock-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, inner) = (folder.join("file"), folder.join("inner"));
        let done = without(Deny::AllButPlainFiles, move || {
            fs::write(&file, b"text")?;
            fs::rename(&file, file.with_extension("new"))?;
            Ok(fs::create_dir(inner))
        });
        if let Some(done) = done {
            let made = done.unwrap().unwrap_err();
            assert_eq!(made.kind(), io::ErrorKind::PermissionDenied);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
