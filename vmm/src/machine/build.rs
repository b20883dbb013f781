//! Building a new machine. Split irqchip, because nothing here needs PIC or PIT and closing a VM
//! that has them takes tens of milliseconds. What depends on the trial of `vmcall` comes last: it
//! runs beside the rest.

use guest_payload::abi::{CPUID_FEATURES, FEATURE_PV_UNHALT};
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Cap, Kvm};

use super::assemble::{self, Frame};
use super::blueprint::{Blueprint, Decided};
use super::guest::LoadedGuest;
use super::switches::KvmKick;
use super::{Error, Machine, capabilities, switches, vcpus};
use crate::cpu::cpuid::CpuidTemplate;
use crate::cpu::pv_leaves::{KickTaker, LocalApics, Offer, PvFeatures, Vmcall};
use crate::host::{Sureness, VmcallAnswer};
use crate::memory;
use crate::pv::{HaltIn, KickBy};
use crate::spec::{Choice, DisabledExit, PvUnhalt, RunSpec};
use crate::vcpu::Vcpu;

/// Builds what `spec` asks for, up to the first instruction.
///
/// # Errors
/// [`Error`]; nothing is left behind.
pub fn build(kvm: &Kvm, spec: &RunSpec) -> Result<Machine, Error> {
    assemble::check_vcpus(kvm, &spec.topology)?;
    let guest = LoadedGuest::read(&spec.guest, spec.memory)?;
    let has_stub_page = guest.image.stub_page.is_some();
    let halt_in = switches::halt_in(spec.halt);
    let drops_kick = spec.drop_kick.is_some();
    switches::check(spec.kick, halt_in, has_stub_page, drops_kick)?;
    let decides_who_kicks = has_stub_page || spec.kick == Choice::Kvm;
    let vmcall = VmcallAnswer::seek(if decides_who_kicks {
        Sureness::Tried
    } else {
        Sureness::Safe
    })?;
    let hlt_exits = !spec.disable_exits.contains(&DisabledExit::Hlt);
    let wants_pv_unhalt = spec.pv_unhalt == PvUnhalt::On && hlt_exits;

    // Before the VM, so that it goes after it.
    let memory = memory::map(spec.memory)?;
    let wanted = capabilities::Wanted {
        halt_in,
        halt_poll_ns: spec.halt_poll_ns,
        disabled_exits: DisabledExit::bits(&spec.disable_exits),
    };
    let frame = Frame::make(kvm, memory, &spec.topology, &wanted)?;
    let start_info = guest.load(&frame.memory, spec.memory, &spec.cmdline, &frame.apic_ids)?;
    let supported = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(|e| Error::Ioctl("KVM_GET_SUPPORTED_CPUID", e))?;

    let vmcall = if vmcall.completes()? {
        Vmcall::Completes
    } else {
        Vmcall::NeverCompletes
    };
    let kvm_kick = if vmcall == Vmcall::NeverCompletes {
        KvmKick::VmcallNeverCompletes
    } else if supported_features(&supported) & FEATURE_PV_UNHALT == 0 {
        KvmKick::NoPvUnhalt
    } else {
        KvmKick::Works
    };
    let kick_by = switches::kick_by(spec.kick, halt_in, has_stub_page, drops_kick, kvm_kick)?;
    if kick_by == KickBy::Vmm {
        guest.take_over_stubs(&frame.memory)?;
    }
    let offer = |shown| if shown { Offer::Shown } else { Offer::Hidden };
    let tsc_deadline = halt_in == HaltIn::Kvm && frame.vm.check_extension(Cap::TscDeadlineTimer);
    let features = PvFeatures {
        pv_unhalt: offer(wants_pv_unhalt),
        hint_realtime: offer(spec.hint_realtime),
        tsc_deadline: offer(tsc_deadline),
        vmcall,
        kick: match kick_by {
            KickBy::Kvm => KickTaker::Kvm,
            KickBy::Vmm => KickTaker::Vmm,
        },
        local_apics: match halt_in {
            HaltIn::Kvm => LocalApics::Kvm,
            HaltIn::Vmm => LocalApics::Vmm,
        },
        tsc_khz: None,
        apic_bus_khz: None,
    };
    let blueprint = Blueprint::new(
        spec,
        Decided {
            kick_by,
            halt_in,
            shows_pv_unhalt: features.offers_pv_unhalt(supported_features(&supported)),
            has_stub_page,
            results_gpa: guest.image.results,
            signature: supported
                .as_slice()
                .iter()
                .find(|entry| entry.function == 1)
                .map_or(0, |entry| entry.eax),
        },
    );
    let mut template = CpuidTemplate::new(&supported, &features, &spec.topology)?;
    let machine = assemble::assemble(
        frame,
        blueprint,
        &spec.host,
        spec.drop_kick,
        Some(&mut template),
    )?;
    let first = machine.stopped_vcpus().first().map(Vcpu::fd);
    first
        .map_or(Ok(()), |fd| {
            vcpus::start_at_entry(fd, guest.image.entry, start_info)
        })
        .map_err(|e| Error::Ioctl("setting the first vCPU's registers", e))?;
    Ok(machine)
}

/// The PV features that KVM can do, from its own leaf.
fn supported_features(supported: &CpuId) -> u32 {
    supported
        .as_slice()
        .iter()
        .find(|entry| entry.function == CPUID_FEATURES)
        .map_or(0, |entry| entry.eax)
}
