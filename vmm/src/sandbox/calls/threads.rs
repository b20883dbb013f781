//! What it takes to start threads.

use libc::{
    SYS_clone, SYS_clone3, SYS_rseq, SYS_sched_getaffinity, SYS_seccomp, SYS_set_robust_list,
};

use super::prctl;
use crate::sandbox::call::{List, Named, Only, any, only};

/// Of whoever starts threads, whose start is under the same filter.
pub(crate) const STARTS: List = List {
    title: "Who starts threads",
    calls: &[
        only(
            SYS_clone3,
            Only::Unknown,
            "its arguments are where a filter cannot look: the C library takes clone instead",
        ),
        only(SYS_clone, Only::Thread, "a new thread"),
        any(SYS_set_robust_list, "a thread's start"),
        any(SYS_rseq, "a thread's start"),
        any(SYS_sched_getaffinity, "a thread's start"),
        prctl!(PR_SET_NAME, "a thread's start: its name"),
        prctl!(PR_SET_NO_NEW_PRIVS, "a thread's start: no new privileges"),
        only(
            SYS_seccomp,
            Only::First(Named {
                name: "SECCOMP_SET_MODE_FILTER",
                value: libc::SECCOMP_SET_MODE_FILTER as u64,
            }),
            "the new thread's own, narrower filter",
        ),
    ],
};
