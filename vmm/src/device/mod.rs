//! What answers on the ports.

pub mod counter;
pub mod ports;
pub mod serial;
pub mod serial_state;
