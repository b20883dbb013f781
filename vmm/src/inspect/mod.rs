//! What is in a snapshot, as a table and as JSON: the schema `vmm.inspect/1`.
//!
//! Nothing of it is trusted. A part that cannot be understood is a fault beside the others, and no
//! number of the file makes the table longer than its table of sections.

mod lapic;
mod parts;
mod table;
mod vcpu;
mod view;

pub use lapic::{Keeper, Lapic, Mode, Timer, TimerMode};
pub use parts::{Checked, Clock, Devices, Host, Machine, Memory, Region, Section};
pub use vcpu::{State, Vcpu};
pub use view::SnapshotView;
