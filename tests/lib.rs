//! Shared by the end-to-end tests: running the real binary, and making guests for it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its case has to fail"
)]

pub mod command;
pub mod elf;
pub mod experiment;
pub mod gdb;
pub mod guest;
pub mod multiboot;
pub mod process;
pub mod proxy;
