//! One thread's loop: enter the guest, serve its exits, stop when told.

pub mod board;
mod caller_memory;
pub mod control;
pub mod debug;
pub mod ending;
pub mod exits;
#[cfg(fuzzing)]
pub mod fuzzing;
mod fwait;
mod hold_off;
mod hypercall;
mod inject;
pub mod inspect;
pub(crate) mod int3;
pub mod leash;
mod msr;
mod on_pcpu;
pub mod park_waker;
mod rekick;
mod run;
mod serve;
mod settle;
pub mod shared;
pub mod state;
mod stopped;
pub mod stops;
pub mod xen;

pub use run::Vcpu;
