//! What a virtual CPU is made of: CPUID, topology.

pub mod cpuid;
pub mod lapic;
pub mod pv_leaves;
pub mod topology;
mod topology_leaves;
