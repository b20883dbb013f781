//! Building a machine that comes from elsewhere: from its description and its memory, up to where
//! its state can be loaded.

use kvm_ioctls::Kvm;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::assemble::{self, Frame};
use super::capabilities::HardwareGets;
use super::load::Shortfalls;
use super::ple::PleSetup;
use super::saved::Description;
use super::{Error, Machine, capabilities, xen};
use crate::cpu::compat::{Capability, Difference, HostOffers, differences};
use crate::cpu::pv_leaves::Vmcall;
use crate::host::{Sureness, VmcallAnswer};
use crate::spec::{HostSide, Interface};

/// Builds it. `memory` holds what the guest had in it.
///
/// # Errors
/// [`Error`]; [`Error::OtherHost`] lists what this host lacks. Nothing is left behind.
pub fn rebuild(
    kvm: &Kvm,
    description: Description,
    memory: GuestMemoryMmap,
    host: &HostSide,
    ple: Option<PleSetup>,
    shortfalls: Shortfalls,
) -> Result<Machine, Error> {
    let Description { blueprint, needs } = description;
    let topology = blueprint.topology()?;
    assemble::check_vcpus(kvm, &topology)?;
    check_memory(&blueprint, &memory)?;
    let wanted = capabilities::Wanted {
        platform: blueprint.platform(),
        halt_in: blueprint.halt_in,
        halt_poll_ns: blueprint.halt_poll_ns,
        disabled_exits: blueprint.disabled_exits,
        hardware_ple: HardwareGets::AsItIs,
        interface: match blueprint.xen {
            Some(_) => Interface::Xen,
            None => Interface::Kvm,
        },
    };
    let frame = Frame::make(kvm, memory, &topology, &wanted)?;
    if shortfalls == Shortfalls::Refuse {
        // Trying takes as long as all else here, so it is done for those who need it.
        let vmcall = if needs.stand_on(Capability::VmcallCompletes)
            && VmcallAnswer::seek(Sureness::Tried)?.completes()?
        {
            Vmcall::Completes
        } else {
            Vmcall::NeverCompletes
        };
        let found = frame.fds.first().map(|vcpu| {
            let offers = HostOffers::look(kvm, &frame.vm, vcpu, vmcall)?;
            Ok::<_, kvm_ioctls::Error>(differences(&needs, &offers))
        });
        let found: Vec<Difference> = found
            .transpose()
            .map_err(|e| Error::Ioctl("asking what this host offers", e))?
            .unwrap_or_default();
        if !found.is_empty() {
            return Err(Error::OtherHost(found));
        }
    }
    if let Some(xen) = blueprint.xen {
        xen::rebuild_hypercalls(&frame.vm, xen.hypercalls_by)?;
    }
    assemble::assemble(frame, blueprint, host, ple, None, None)
}

/// The memory that came is the memory of the build.
fn check_memory(
    blueprint: &super::blueprint::Blueprint,
    memory: &GuestMemoryMmap,
) -> Result<(), Error> {
    let came = memory.iter().map(|region| {
        let start = region.start_addr().raw_value();
        start..start.saturating_add(region.len())
    });
    if came.eq(blueprint.memory()?.ranges()) {
        Ok(())
    } else {
        Err(Error::MemoryRanges)
    }
}
