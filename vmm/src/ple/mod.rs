//! Pause-loop exiting: the hardware's, one in software, and what to do with a vCPU that spins.

pub mod config;
pub mod handshake;
pub mod lab;
mod loans;
mod on_purpose;
pub mod on_spin;
pub mod service;
pub mod slots;
mod stats;
mod then;
pub mod window;
mod windows;
