//! What it takes to hold a machine still: to save it, and to let it go on.

use libc::SYS_pread64;

use super::kvm;
use crate::sandbox::call::{List, any};

/// Of whoever lets a machine go on that stood still.
pub(crate) const GOES_ON: List = List {
    title: "Who lets the machine go on",
    calls: &[
        kvm!(KVM_GET_CLOCK, "the machine's clock"),
        kvm!(KVM_SET_CLOCK, "the clock of a machine that goes on"),
        kvm!(KVM_GET_PIT2, "a PC's timer"),
        kvm!(KVM_SET_PIT2, "a PC's timer, which starts anew"),
    ],
};

/// Of whoever saves one, beyond that.
pub(crate) const SAVED: List = List {
    title: "Who saves the machine",
    calls: &[
        any(SYS_pread64, "which pages are in use; KVM's statistics"),
        kvm!(KVM_GET_API_VERSION, "the list of MSRs"),
        kvm!(KVM_GET_IRQCHIP, "the interrupt controllers"),
    ],
};
