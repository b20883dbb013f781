//! What the first thread may call once the others run: it waits for them, and writes the report.

use libc::{
    SYS_clone, SYS_clone3, SYS_fchmod, SYS_fcntl, SYS_flock, SYS_fstat, SYS_kill, SYS_lseek,
    SYS_newfstatat, SYS_openat, SYS_prctl, SYS_pread64, SYS_read, SYS_readlink, SYS_rename,
    SYS_rseq, SYS_rt_sigaction, SYS_sched_getaffinity, SYS_seccomp, SYS_set_robust_list, SYS_statx,
    SYS_unlink,
};

use super::{kvm, terminal};
use crate::sandbox::call::{Call, F_DUPFD_CLOEXEC, Only, any, only};

/// Of the first thread.
pub(crate) const CALLS: &[Call] = &[
    any(
        SYS_openat,
        "the files of --json and --trace; what the report says of the host",
    ),
    any(SYS_read, "what the report says of the host"),
    any(SYS_pread64, "KVM's statistics for the report"),
    any(SYS_lseek, "KVM's statistics for the report"),
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
        SYS_clone3,
        "a thread that tells the report to a reader who may stall",
    ),
    only(
        SYS_clone,
        Only::Thread,
        "the same, where the C library has no clone3",
    ),
    any(SYS_set_robust_list, "a thread's start"),
    any(SYS_rseq, "a thread's start"),
    any(
        SYS_rt_sigaction,
        "signals end the process while the report is written; the terminal's handlers go",
    ),
    any(SYS_sched_getaffinity, "a thread's start"),
    any(SYS_prctl, "a thread's start: its name; no new privileges"),
    any(SYS_seccomp, "a narrower filter"),
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
];
