//! System calls that the standard library has no words for. Each file fences its `unsafe`.

pub mod affinity;
pub mod allocator;
pub mod call_names;
pub mod child_process;
pub mod futex;
pub mod landlock;
pub mod limits;
pub mod perf;
pub mod readable;
pub mod seccomp;
pub mod seccomp_listener;
pub mod signal;
pub mod socket_file;
pub mod sparse;
pub mod terminal;
pub mod terminal_size;
pub mod time;
pub mod unix_socket;
pub mod writable;
