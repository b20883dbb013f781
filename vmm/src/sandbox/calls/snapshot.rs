//! What the thread that writes snapshots may call: files, and no sockets.

use libc::{
    SYS_faccessat2, SYS_fchmod, SYS_fcntl, SYS_flock, SYS_fstat, SYS_fsync, SYS_ftruncate,
    SYS_lseek, SYS_newfstatat, SYS_openat, SYS_pwrite64, SYS_read, SYS_readlink, SYS_rename,
    SYS_statx, SYS_sync_file_range, SYS_unlink,
};

use super::signal;
use crate::sandbox::call::{F_DUPFD_CLOEXEC, List, any, only};

/// Of the writer of snapshots.
pub(crate) const CALLS: List = List {
    title: "Who writes snapshots",
    calls: &[
        any(
            SYS_openat,
            "a new file beside the one that is asked for; /proc/self/pagemap; /dev/kvm, for the list of MSRs",
        ),
        any(SYS_statx, "what the snapshot takes the place of"),
        any(SYS_newfstatat, "what the snapshot takes the place of"),
        any(SYS_fstat, "what the snapshot takes the place of"),
        any(SYS_readlink, "where the snapshot is"),
        any(SYS_read, "which pages are in use"),
        any(SYS_lseek, "which pages are in use"),
        any(SYS_pwrite64, "the snapshot"),
        any(SYS_ftruncate, "the snapshot"),
        any(SYS_fchmod, "the snapshot keeps the mode of what was there"),
        any(
            SYS_fsync,
            "the snapshot is on disk before it takes its name",
        ),
        any(SYS_flock, "one writer at a time"),
        only(SYS_fcntl, F_DUPFD_CLOEXEC, "second descriptors"),
        any(SYS_rename, "the snapshot appears whole"),
        any(SYS_unlink, "what is left of one that could not be written"),
        signal!(
            SIGXFSZ,
            "a snapshot that outgrows ulimit -f fails, and the machine stays"
        ),
        any(
            SYS_faccessat2,
            "whether a file that there is may be replaced",
        ),
        any(
            SYS_sync_file_range,
            "the snapshot goes to disk while it is written",
        ),
    ],
};
