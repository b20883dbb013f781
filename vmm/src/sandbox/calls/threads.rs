//! What it takes to start threads.

use libc::{
    SYS_clone, SYS_clone3, SYS_prctl, SYS_rseq, SYS_sched_getaffinity, SYS_seccomp,
    SYS_set_robust_list,
};

use crate::sandbox::call::{Call, Only, any, only};

/// Of whoever starts threads, whose start is under the same filter.
pub(crate) const STARTS: &[Call] = &[
    any(
        SYS_clone3,
        "a new thread; its arguments are where a filter cannot look",
    ),
    only(
        SYS_clone,
        Only::Thread,
        "the same, where the C library has no clone3",
    ),
    any(SYS_set_robust_list, "a thread's start"),
    any(SYS_rseq, "a thread's start"),
    any(SYS_sched_getaffinity, "a thread's start"),
    any(SYS_prctl, "a thread's start: its name; no new privileges"),
    any(SYS_seccomp, "the new thread's own, narrower filter"),
];
