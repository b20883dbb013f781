//! What every thread may call: memory, waiting for each other, and its own end, a bad one too.

use libc::{
    SYS_brk, SYS_clock_gettime, SYS_clock_nanosleep, SYS_close, SYS_exit, SYS_exit_group,
    SYS_fcntl, SYS_futex, SYS_getpgrp, SYS_getpid, SYS_getrandom, SYS_gettid, SYS_gettimeofday,
    SYS_madvise, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munmap, SYS_nanosleep, SYS_poll,
    SYS_restart_syscall, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sched_yield, SYS_sigaltstack,
    SYS_tgkill, SYS_write,
};

use super::{prctl, signal, terminal};
use crate::sandbox::call::{List, Named, Only, any, only};

/// Of every thread.
pub(crate) const CALLS: List = List {
    title: "Every thread",
    calls: &[
        only(SYS_mmap, Only::PlainMemory, "the allocator"),
        only(SYS_mprotect, Only::NeverExecuted, "the allocator"),
        any(SYS_brk, "the allocator"),
        any(SYS_mremap, "the allocator: a vector that grows"),
        any(
            SYS_munmap,
            "the allocator; a signal's stack, at a thread's end",
        ),
        any(SYS_madvise, "the allocator; a thread's stack, at its end"),
        any(SYS_getrandom, "the seed of a hash table"),
        any(SYS_futex, "locks; waits for other threads, and wakes them"),
        any(SYS_sched_yield, "a lock that will be free in a moment"),
        any(SYS_clock_nanosleep, "a pause"),
        any(SYS_nanosleep, "a pause"),
        any(SYS_restart_syscall, "a pause that SIGSTOP cut in two"),
        any(
            SYS_clock_gettime,
            "the time, where the vDSO does not tell it; CPU time",
        ),
        any(
            SYS_gettimeofday,
            "the time, where the vDSO does not tell it",
        ),
        any(SYS_poll, "waits for a descriptor that it has"),
        any(
            SYS_write,
            "to descriptors that it has: event descriptors, the serial port, messages",
        ),
        any(SYS_close, "a descriptor that it has"),
        only(
            SYS_fcntl,
            Only::Second(Named {
                name: "F_GETFD",
                value: libc::F_GETFD as u64,
            }),
            "a debug build looks whether what it closes is open",
        ),
        only(
            SYS_tgkill,
            Only::ThisProcess,
            "sends a vCPU out of KVM_RUN; SIGABRT after a panic",
        ),
        any(SYS_getpid, "for tgkill"),
        any(SYS_gettid, "for tgkill; a panic's message"),
        any(SYS_rt_sigprocmask, "around tgkill; at a thread's end"),
        any(SYS_rt_sigreturn, "the end of a signal's handler"),
        signal!(
            SIGSYS,
            "the handler that tells of a forbidden call lets it end the process"
        ),
        signal!(
            SIGSEGV,
            "Rust's handler of a bad access lets it end the process"
        ),
        signal!(
            SIGBUS,
            "Rust's handler of a bad access lets it end the process"
        ),
        any(SYS_sigaltstack, "at a thread's end"),
        any(SYS_exit, "a thread's end"),
        any(SYS_exit_group, "the process's end"),
        terminal!(TCGETS, "whether a descriptor is a terminal"),
        terminal!(TCGETS2, "the same, where the C library is 2.42 or later"),
        terminal!(
            TCSETS,
            "gives the terminal back when the process ends in this thread"
        ),
        terminal!(TCSETS2, "the same, where the C library is 2.42 or later"),
        prctl!(PR_GET_NAME, "names a thread that makes a forbidden call"),
        terminal!(
            TIOCGPGRP,
            "whether the terminal is this process's to give back"
        ),
        any(
            SYS_getpgrp,
            "whether the terminal is this process's to give back",
        ),
    ],
};
