//! Building a new machine. Split irqchip, because nothing here needs PIC or PIT and closing a VM
//! that has them takes tens of milliseconds. What depends on the trial of `vmcall` comes last: it
//! runs beside the rest.

use guest_payload::abi::{CPUID_FEATURES, FEATURE_PV_UNHALT};
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Cap, Kvm};

use super::assemble::{self, Frame};
use super::blueprint::{Blueprint, Decided};
use super::guest::{LoadedGuest, Stub};
use super::linux_cmdline::{self, Cmdline};
use super::platform::PcBuild;
use super::ple::{self, PleSetup};
use super::switches::{KvmKick, Meddling, WayIn};
use super::vcpu_thread::{Hired, Terms};
use super::xen::{self, XenBuild};
use super::{Error, Machine, capabilities, kick_site, switches, vcpus};
use crate::boot::{Kind, Platform};
use crate::cpu::cpuid::CpuidTemplate;
use crate::cpu::pv_leaves::{KickTaker, LocalApics, Offer, PvFeatures, Vmcall};
use crate::device::DeviceSet;
use crate::host::{Sureness, VmcallAnswer};
use crate::memory;
use crate::ple::handshake::HostFields;
use crate::pv::recorder::ring_events;
use crate::pv::xen::HypercallsBy;
use crate::pv::{HaltIn, KickBy};
use crate::sched::config::Sched;
use crate::spec::{Choice, DisabledExit, Interface, PvUnhalt, RunSpec, Tracing};
use crate::trace;
use crate::vcpu::Vcpu;

/// Builds what `spec` asks for, up to the first instruction.
///
/// # Errors
/// [`Error`]; nothing is left behind, but for a thread that ends as soon as it has its filter.
pub fn build(kvm: &Kvm, spec: &RunSpec) -> Result<Machine, Error> {
    assemble::check_vcpus(kvm, &spec.topology)?;
    let guest = LoadedGuest::read_for(&spec.guest, &spec.boot.initrds, spec.memory, spec.xen)?;
    let platform = guest.platform();
    let way_in = way_in(spec, &guest)?;
    let halt_in = switches::halt_in(spec.halt);
    if platform == Platform::Pc && halt_in == HaltIn::Vmm {
        return Err(match spec.host.lab.sched {
            Sched::Tokens(_) => switches::Error::PcSchedules.into(),
            Sched::Host => switches::Error::PcHaltsInKvm.into(),
        });
    }
    let meddling = Meddling::of(spec);
    let kick = match spec.boot.kick_site {
        // Who says where to take the kick wants it taken.
        Some(_) => Choice::Vmm,
        None => spec.kick,
    };
    switches::check(kick, halt_in, way_in, meddling)?;
    let handshake = HostFields::of(&spec.host.lab)?
        .map(|fields| Ok::<_, Error>((fields, fields.page(guest.handshake(), guest.stub_page())?)))
        .transpose()?;
    let decides_who_kicks = way_in != WayIn::None || kick == Choice::Kvm;
    let mut vmcall = VmcallAnswer::seek(if decides_who_kicks {
        Sureness::Tried
    } else {
        Sureness::Safe
    })?;
    let hlt_exits = !spec.disable_exits.contains(&DisabledExit::Hlt);
    let wants_pv_unhalt = spec.pv_unhalt == PvUnhalt::On && hlt_exits;

    // Before the VM, so that it goes after it.
    let memory = memory::map(spec.memory)?;
    let wanted = capabilities::Wanted {
        platform,
        halt_in,
        halt_poll_ns: spec.halt_poll_ns,
        disabled_exits: DisabledExit::bits(&spec.disable_exits),
        hardware_ple: ple::hardware_gets(&spec.host.lab),
        interface: spec.xen,
    };
    let ple = PleSetup::new(&spec.host.lab);
    // Counters of what threads do count those that are started after them.
    let hired = Hired::hire(&Terms::of(&spec.host))?;
    let frame = Frame::make(kvm, memory, &spec.topology, &wanted)?;
    let xen = (spec.xen == Interface::Xen).then(|| XenBuild {
        hypercalls_by: xen::choose_hypercalls(&frame.vm),
    });
    let cmdline = match guest.kind() {
        Kind::Linux => linux_cmdline::complete(&spec.cmdline, vmcall_here(&mut vmcall)?),
        Kind::Pvh | Kind::Multiboot => Cmdline::as_given(&spec.cmdline),
    };
    let entry = guest.load(&frame.memory, spec.memory, &cmdline, &frame.apic_ids)?;
    if let (Tracing::On, Some(results)) = (spec.host.trace, guest.results()) {
        trace::guest::ask(&frame.memory, results, ring_events(spec.topology.vcpus()));
    }
    if let Some((fields, page)) = &handshake {
        fields.write(&frame.memory, *page)?;
        guest.take_over_stubs(&frame.memory, &[Stub::SpinExit])?;
    }
    let supported = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(|e| Error::Ioctl("KVM_GET_SUPPORTED_CPUID", e))?;

    let xen_takes_vmcall = xen.is_some_and(|xen| xen.hypercalls_by != HypercallsBy::Port);
    let vmcall = match vmcall_here(&mut vmcall)? {
        // To KVM's own hypercalls it is the same: nobody answers.
        Vmcall::Completes if !xen_takes_vmcall => Vmcall::Completes,
        _ => Vmcall::NeverCompletes,
    };
    let kvm_kick = if xen_takes_vmcall {
        KvmKick::XenTakesVmcall
    } else if vmcall == Vmcall::NeverCompletes {
        KvmKick::VmcallNeverCompletes
    } else if supported_features(&supported) & FEATURE_PV_UNHALT == 0 {
        KvmKick::NoPvUnhalt
    } else {
        KvmKick::Works
    };
    let kick_by = switches::kick_by(kick, halt_in, way_in, meddling, kvm_kick)?;
    if kick_by == KickBy::Vmm && way_in == WayIn::StubPage {
        guest.take_over_stubs(&frame.memory, &[Stub::Hypercall, Stub::Halt])?;
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
            cmdline: cmdline.text,
            kick_by,
            halt_in,
            shows_pv_unhalt: features.offers_pv_unhalt(supported_features(&supported)),
            has_stub_page: way_in == WayIn::StubPage,
            results_gpa: guest.results(),
            handshake_gpa: guest.handshake(),
            xen,
            pc: (platform == Platform::Pc).then(|| PcBuild {
                devices: match guest.kind() {
                    Kind::Multiboot => DeviceSet::TestImage,
                    Kind::Linux | Kind::Pvh => DeviceSet::Pc,
                },
                kick_site: match (kick_by, way_in) {
                    (KickBy::Vmm, WayIn::Breakpoint(site)) => Some(site),
                    _ => None,
                },
            }),
            signature: supported
                .as_slice()
                .iter()
                .find(|entry| entry.function == 1)
                .map_or(0, |entry| entry.eax),
        },
    );
    let mut template = CpuidTemplate::new(&supported, &features, &spec.topology)?;
    if xen.is_some() {
        template = template.with_xen()?;
    }
    let mut machine = assemble::assemble(
        frame,
        blueprint,
        &spec.host,
        ple,
        spec.drop_kick,
        Some(&mut template),
    )?;
    let first = machine.stopped_vcpus().first().map(Vcpu::fd);
    first
        .map_or(Ok(()), |fd| vcpus::start_at(fd, entry))
        .map_err(|e| Error::Ioctl("setting the first vCPU's registers", e))?;
    if platform == Platform::Pc {
        for vcpu in machine.stopped_vcpus() {
            vcpus::wire_local_interrupts(vcpu.fd(), vcpu.index())
                .map_err(|e| Error::Ioctl("setting the local APICs' LINT pins", e))?;
        }
    }
    machine.hired = Some(hired);
    machine.cmdline_added = cmdline.added;
    machine.symbols = (platform == Platform::Pc).then(|| guest.into_symbols());
    Ok(machine)
}

fn vmcall_here(answer: &mut VmcallAnswer) -> Result<Vmcall, Error> {
    Ok(match answer.completes()? {
        true => Vmcall::Completes,
        false => Vmcall::NeverCompletes,
    })
}

/// How this guest's kicks can reach the VMM.
fn way_in(spec: &RunSpec, guest: &LoadedGuest) -> Result<WayIn, switches::Error> {
    let has_stub_page = guest.stub_page().is_some();
    match spec.boot.kick_site {
        Some(_) if has_stub_page => Err(switches::Error::SiteAndStubPage),
        Some(_) if spec.kick == Choice::Kvm => Err(switches::Error::SiteNeedsVmm),
        Some(_) if guest.platform() == Platform::Bare => Err(switches::Error::SiteNeedsPc),
        Some(site) if !kick_site::may_be(guest, site) => Err(switches::Error::NoVmcallAt(site)),
        Some(site) => Ok(WayIn::Breakpoint(site)),
        None if has_stub_page => Ok(WayIn::StubPage),
        // The symbol table is looked through only for who may need it.
        None if guest.kind() == Kind::Linux && spec.kick != Choice::Kvm => {
            Ok(kick_site::find(guest).map_or(WayIn::None, WayIn::Breakpoint))
        }
        None => Ok(WayIn::None),
    }
}

/// The PV features that KVM can do, from its own leaf.
fn supported_features(supported: &CpuId) -> u32 {
    supported
        .as_slice()
        .iter()
        .find(|entry| entry.function == CPUID_FEATURES)
        .map_or(0, |entry| entry.eax)
}
