//! System calls that the standard library has no words for. Each file fences its `unsafe`.

pub mod affinity;
pub mod allocator;
pub mod futex;
pub mod limits;
pub mod signal;
pub mod time;
pub mod writable;
