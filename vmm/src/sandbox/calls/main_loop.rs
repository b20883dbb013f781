//! What the main loop may call.

use libc::{
    SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_wait, SYS_eventfd2, SYS_fcntl, SYS_pread64,
    SYS_read, SYS_rt_sigaction, SYS_timerfd_create, SYS_timerfd_settime,
};

use super::{kvm, terminal};
use crate::sandbox::call::{F_DUPFD_CLOEXEC, List, any, only};

/// Of the main loop.
pub(crate) const CALLS: List = List {
    title: "The main loop",
    calls: &[
        any(SYS_eventfd2, "what it waits for"),
        any(SYS_epoll_create1, "what it waits for"),
        any(SYS_epoll_ctl, "what it waits for"),
        any(SYS_epoll_wait, "waits"),
        any(SYS_timerfd_create, "the watchdog, --timeout, --preempt"),
        any(
            SYS_timerfd_settime,
            "the watchdog, --timeout, --preempt, delayed kicks",
        ),
        any(
            SYS_read,
            "signals, timers and the console's input, from descriptors that it has",
        ),
        any(
            SYS_pread64,
            "KVM's statistics of each vCPU, for a hang's report",
        ),
        only(
            SYS_fcntl,
            F_DUPFD_CLOEXEC,
            "a second descriptor of the signals",
        ),
        any(
            SYS_rt_sigaction,
            "the terminal's handlers go when it is given back",
        ),
        kvm!(KVM_SIGNAL_MSI, "a kick that was delayed on purpose"),
        terminal!(TIOCGWINSZ, "how wide the progress line may be"),
    ],
};
