//! A debugger's door: gdb's remote protocol over a socket (`--gdb`).
//!
//! vCPUs are threads. All of them stand still while the debugger has the word, by the same counted
//! hold as every other pause ([`PausedMachine`](crate::machine::pause::PausedMachine)); what a
//! debugger lets a single vCPU do is on its leash ([`crate::vcpu::leash`]). The protocol is
//! `gdbstub`'s.

pub mod address;
mod breakpoints;
mod client;
mod door;
mod memory;
mod next;
mod registers;
mod resume;
mod server;
mod session;
mod soft_step;
mod target;
mod threads;

pub use door::{Farewell, Goodbye, Listener};
pub use server::Server;
