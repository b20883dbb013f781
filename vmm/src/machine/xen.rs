//! Building Xen's interface into a machine (`--xen`).

use kvm_bindings::KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;
use kvm_ioctls::VmFd;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::host::Kind;
use crate::kvm::xen::{can_intercept, set_hvm_config};
use crate::pv::xen::HypercallsBy;

/// How Xen's interface of a machine was built: what of it another process has to know before it
/// takes the machine. Its postcard form is part of the snapshot format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XenBuild {
    /// How hypercalls reach the VMM. The guest's hypercall page holds these instructions.
    pub hypercalls_by: HypercallsBy,
}

/// Has KVM hand over the guest's `vmcall` where it can, found by trying.
pub(super) fn choose_hypercalls(vm: &VmFd) -> HypercallsBy {
    if !can_intercept(vm) || intercept(vm).is_err() {
        return HypercallsBy::Port;
    }
    match Kind::detect() {
        Kind::Svm => HypercallsBy::Vmmcall,
        Kind::Vmx | Kind::Pvm | Kind::Unknown => HypercallsBy::Vmcall,
    }
}

/// Does to a VM that is built again what was done to it when it was new.
///
/// # Errors
/// [`Error::System`]: this KVM has none of what the guest's hypercall page needs.
pub(super) fn rebuild_hypercalls(vm: &VmFd, by: HypercallsBy) -> Result<(), Error> {
    match by {
        HypercallsBy::Port => Ok(()),
        HypercallsBy::Vmcall | HypercallsBy::Vmmcall => {
            intercept(vm).map_err(|e| Error::System("KVM_XEN_HVM_CONFIG".to_owned(), e))
        }
    }
}

/// The page is filled by us, so KVM gets no MSR for it.
fn intercept(vm: &VmFd) -> std::io::Result<()> {
    set_hvm_config(vm, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL)
}
