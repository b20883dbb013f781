//! What it takes to start threads.

use libc::{SYS_clone, SYS_clone3, SYS_rseq, SYS_sched_getaffinity, SYS_set_robust_list};

use super::{prctl, with_first};
use crate::sandbox::call::{List, Only, any, only};

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
        with_first!(
            SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            "the new thread's own, narrower filter"
        ),
    ],
};
