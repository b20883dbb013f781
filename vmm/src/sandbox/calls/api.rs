//! What serves the API: the door, and a connection. Neither can open a file or a socket.

use libc::{
    SYS_accept4, SYS_fcntl, SYS_landlock_create_ruleset, SYS_landlock_restrict_self, SYS_pread64,
    SYS_recvfrom, SYS_sendto, SYS_setsockopt, SYS_shutdown,
};

use crate::sandbox::call::{F_DUPFD_CLOEXEC, List, any, ioctl, only};

/// Of the door, which starts the threads of connections: its list holds theirs.
pub(crate) const DOOR: List = List {
    title: "The API's door",
    calls: &[
        any(SYS_accept4, "lets a client in"),
        only(
            SYS_fcntl,
            F_DUPFD_CLOEXEC,
            "a descriptor kept for the day when there are no more",
        ),
        any(
            SYS_landlock_create_ruleset,
            "the connection has no files either",
        ),
        any(
            SYS_landlock_restrict_self,
            "the connection has no files either",
        ),
    ],
};

/// Of a connection.
pub(crate) const CALLS: List = List {
    title: "A connection of the API",
    calls: &[
        any(SYS_recvfrom, "a request"),
        any(SYS_sendto, "an answer"),
        any(SYS_setsockopt, "how long a client may take"),
        any(SYS_shutdown, "ends a connection"),
        ioctl(
            "FIONBIO",
            libc::FIONBIO,
            "a client that is too much is not waited for",
        ),
        any(SYS_pread64, "KVM's statistics of each vCPU"),
    ],
};
