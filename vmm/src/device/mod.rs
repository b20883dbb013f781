//! What answers on the ports.

pub mod ports;
pub mod serial;
