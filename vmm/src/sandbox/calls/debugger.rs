//! What the debugger's thread may call.

use libc::{
    SYS_accept4, SYS_epoll_ctl, SYS_epoll_wait, SYS_fcntl, SYS_pread64, SYS_read, SYS_recvfrom,
    SYS_sendto, SYS_setsockopt, SYS_shutdown,
};

use super::kvm;
use crate::sandbox::call::{F_DUPFD_CLOEXEC, List, any, ioctl, only};

/// Of the debugger's thread.
pub(crate) const CALLS: List = List {
    title: "Who serves gdb",
    calls: &[
        any(SYS_accept4, "lets a debugger in"),
        any(SYS_epoll_ctl, "waits for it too"),
        any(SYS_epoll_wait, "waits"),
        any(SYS_read, "what a debugger says; that a vCPU has stopped"),
        any(SYS_recvfrom, "what a debugger says"),
        any(SYS_sendto, "what it is told"),
        any(
            SYS_setsockopt,
            "how long it may take; packets are not held back",
        ),
        any(SYS_shutdown, "ends a connection"),
        only(SYS_fcntl, F_DUPFD_CLOEXEC, "second descriptors"),
        any(
            SYS_pread64,
            "KVM's statistics of each vCPU, when the machine stops",
        ),
        ioctl("FIONBIO", libc::FIONBIO, "a connection that is waited for"),
        kvm!(KVM_CHECK_EXTENSION, "what the vCPUs can be asked for"),
    ],
};
