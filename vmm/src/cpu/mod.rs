//! What a virtual CPU is made of: CPUID, topology, its state and its clocks, and what of it another
//! host may lack.

pub mod clock;
pub mod compat;
pub mod cpuid;
pub mod kvmclock;
pub mod lapic;
pub mod paging;
pub mod pv_leaves;
pub mod state;
pub mod topology;
mod topology_leaves;
mod xen_leaves;
