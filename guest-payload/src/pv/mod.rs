//! `pv_lock_ops`: what a lock calls when it would spin for too long, and when it releases a lock
//! that somebody waits for in the slow path.
//!
//! As in the kernel, a lock knows nothing of hypervisors and a backend knows nothing of a lock's
//! layout. A backend is one file of this folder and one variant of [`Backend`].

mod backend;
mod calls;
mod cpu;
pub mod handshake;
mod kvm;
mod ops;
mod slow_path;
mod waiting;
mod xen;

pub use backend::Backend;
pub use cpu::{Cpu, SPIN_THRESHOLD};
pub use handshake::Handshake;
pub use ops::{Patience, Platform, PvLockOps, SlowPath, WaitEarly, Waited};
pub use waiting::{PerCpu, WaitingCpus};
