//! The ioctls that kvm-ioctls lacks, and what else needs a look inside `kvm_run`.

pub mod attr;
pub(crate) mod confined;
pub mod dirty_ring;
pub mod immediate_exit;
pub mod internal_error;
mod request;
pub mod stats;
pub mod timer;
pub mod tsc;
pub mod xen;
pub mod xsave;
