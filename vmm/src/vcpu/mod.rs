//! One thread's loop: enter the guest, serve its exits, stop when told.

pub mod board;
pub mod control;
pub mod exits;
mod hypercall;
pub mod inspect;
mod msr;
pub mod park_waker;
mod run;
mod serve;
mod settle;
pub mod shared;
pub mod state;

pub use run::Vcpu;
