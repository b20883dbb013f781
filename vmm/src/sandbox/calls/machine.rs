//! What it takes to hold a machine still: to save it, and to let it go on.

use libc::SYS_pread64;

use super::kvm;
use crate::sandbox::call::{Call, any};

/// Of whoever lets a machine go on that stood still.
pub(crate) const GOES_ON: &[Call] = &[
    kvm!(KVM_GET_CLOCK, "the machine's clock"),
    kvm!(KVM_SET_CLOCK, "the clock of a machine that goes on"),
];

/// Of whoever saves one, beyond that.
pub(crate) const SAVED: &[Call] = &[
    any(SYS_pread64, "which pages are in use; KVM's statistics"),
    kvm!(KVM_GET_API_VERSION, "the list of MSRs"),
    kvm!(KVM_GET_IRQCHIP, "the interrupt controllers"),
    kvm!(KVM_GET_PIT2, "the timer"),
    kvm!(KVM_SET_PIT2, "the timer of a machine that goes on"),
];
