//! What the first thread may call once the others run: it waits for them, and writes the report.

use libc::{
    SYS_fchmod, SYS_fcntl, SYS_flock, SYS_fstat, SYS_kill, SYS_lseek, SYS_newfstatat, SYS_openat,
    SYS_pread64, SYS_read, SYS_readlink, SYS_rename, SYS_rt_sigaction, SYS_statx, SYS_unlink,
};

use super::{kvm, terminal};
use crate::sandbox::call::{F_DUPFD_CLOEXEC, List, Only, any, only};

/// Of the first thread, beyond [`super::threads::STARTS`]: a reader of the report who may stall gets a
/// thread of his own.
pub(crate) const CALLS: List = List {
    title: "Who writes the report",
    calls: &[
        any(
            SYS_openat,
            "the files of --json and --trace; what the report says of the host",
        ),
        any(SYS_read, "what the report says of the host"),
        any(SYS_pread64, "KVM's statistics for the report"),
        any(SYS_lseek, "how much of a file there is to read"),
        any(SYS_fstat, "how long a file is"),
        any(SYS_newfstatat, "how long a file is"),
        any(
            SYS_statx,
            "a report's file as it was; whose the socket file is",
        ),
        any(SYS_readlink, "where a report's file is"),
        any(SYS_fchmod, "a report's file keeps its mode"),
        any(SYS_rename, "a report appears whole"),
        any(
            SYS_unlink,
            "the socket files; what is left of a report that could not be written",
        ),
        any(SYS_flock, "nobody else may replace a socket file meanwhile"),
        only(SYS_fcntl, F_DUPFD_CLOEXEC, "second descriptors"),
        any(
            SYS_rt_sigaction,
            "signals end the process while the report is written; the terminal's handlers go",
        ),
        kvm!(
            KVM_GET_REGS,
            "what the vCPUs were doing, when they have stopped"
        ),
        kvm!(
            KVM_GET_SREGS,
            "what the vCPUs were doing, when they have stopped"
        ),
        kvm!(
            KVM_GET_MP_STATE,
            "what the vCPUs were doing, when they have stopped"
        ),
        kvm!(
            KVM_GET_LAPIC,
            "what the vCPUs were doing, when they have stopped"
        ),
        terminal!(TIOCGWINSZ, "how wide a table may be"),
        kvm!(KVM_GET_STATS_FD, "KVM's statistics for the report"),
        kvm!(
            KVM_GET_DEVICE_ATTR,
            "a trace in the guest's time: the TSC offset"
        ),
        kvm!(KVM_GET_TSC_KHZ, "a trace in the guest's time"),
        only(
            SYS_kill,
            Only::ThisProcess,
            "Ctrl-Z: it stops itself, when the terminal is given back",
        ),
    ],
};
