//! What moves a machine may call: sockets, and the files of a certificate.

use libc::{
    SYS_accept4, SYS_bind, SYS_connect, SYS_epoll_create1, SYS_eventfd2, SYS_fcntl, SYS_fstat,
    SYS_getcwd, SYS_getpeername, SYS_getsockname, SYS_getsockopt, SYS_ioctl,
    SYS_landlock_create_ruleset, SYS_landlock_restrict_self, SYS_lseek, SYS_mmap, SYS_newfstatat,
    SYS_openat, SYS_pipe2, SYS_read, SYS_readv, SYS_recvfrom, SYS_recvmsg, SYS_sched_setaffinity,
    SYS_sendmmsg, SYS_sendmsg, SYS_sendto, SYS_setsockopt, SYS_shutdown, SYS_socket, SYS_statx,
    SYS_sysinfo, SYS_timer_create, SYS_timer_delete, SYS_timer_settime, SYS_uname, SYS_writev,
};

use super::kvm;
use crate::sandbox::call::{F_DUPFD_CLOEXEC, List, Only, any, ioctl, only};

/// Of every end of a migration: a connection that is there.
pub(crate) const WIRE: List = List {
    title: "Both ends of a migration",
    calls: &[
        any(SYS_read, "from the other end; a certificate"),
        any(SYS_readv, "from the other end"),
        any(SYS_recvfrom, "from the other end"),
        any(SYS_writev, "to the other end"),
        any(SYS_sendto, "to the other end"),
        any(SYS_setsockopt, "how long the other end may take"),
        any(SYS_getsockopt, "whether a connection has been made"),
        any(SYS_getsockname, "the address"),
        any(SYS_getpeername, "the address"),
        any(SYS_shutdown, "ends a connection"),
        only(SYS_fcntl, F_DUPFD_CLOEXEC, "second descriptors"),
        any(
            SYS_statx,
            "how long a certificate is; whose the socket file is",
        ),
        any(SYS_fstat, "how long a certificate is"),
        any(SYS_newfstatat, "how long a certificate is"),
        any(SYS_lseek, "how long a certificate is"),
        any(
            SYS_openat,
            "the certificate, the key and the authority; /dev/kvm, for the list of MSRs",
        ),
        ioctl(
            "FIONBIO",
            libc::FIONBIO,
            "whether a connection is waited for",
        ),
    ],
};

/// Of the thread that sends.
pub(crate) const SENDS: List = List {
    title: "Who sends the machine",
    calls: &[
        any(SYS_socket, "to the target, and to those who know its name"),
        any(SYS_connect, "to the target, and to those who know its name"),
        any(SYS_bind, "the C library asks for the target's name"),
        any(SYS_recvmsg, "the C library asks for the target's name"),
        any(SYS_sendmmsg, "the C library asks for the target's name"),
        any(SYS_sendmsg, "the C library asks for the target's name"),
        only(
            SYS_mmap,
            Only::Refused,
            "the C library asks for the target's name: without a module that is not loaded yet",
        ),
        any(SYS_uname, "the C library asks for the target's name"),
        kvm!(
            KVM_SET_USER_MEMORY_REGION,
            "starts and ends the log of written pages"
        ),
        kvm!(KVM_GET_DIRTY_LOG, "the log of written pages"),
        any(SYS_sysinfo, "the C library asks for the target's name"),
        ioctl(
            "FIONREAD",
            libc::FIONREAD,
            "how long the answer is of those who know the target's name",
        ),
    ],
};

/// Of the first thread of `vmm receive`, which builds the machine that arrives and starts the threads
/// of all others: its list holds theirs.
pub(crate) const ARRIVES: List = List {
    title: "Where a machine arrives",
    calls: &[
        any(SYS_accept4, "lets a source in"),
        only(SYS_ioctl, Only::Kvm, "builds the machine"),
        any(SYS_mmap, "the guest's memory and a vCPU's shared page"),
        any(SYS_eventfd2, "builds the machine"),
        any(SYS_epoll_create1, "a debugger is waited for"),
        any(SYS_pipe2, "the API's door"),
        any(SYS_sched_setaffinity, "--cpus"),
        any(SYS_getcwd, "where a report's file is"),
        any(SYS_timer_create, "tries what this host's KVM can do"),
        any(SYS_timer_settime, "tries what this host's KVM can do"),
        any(SYS_timer_delete, "tries what this host's KVM can do"),
        any(
            SYS_landlock_create_ruleset,
            "less for the threads of others",
        ),
        any(SYS_landlock_restrict_self, "less for the threads of others"),
    ],
};

/// Of the thread that answers a source.
pub(crate) const ANSWERS: List = List {
    title: "Who answers a source",
    calls: &[any(SYS_accept4, "lets a source in")],
};
