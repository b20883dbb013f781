//! `vmm run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use guest_payload::args::{self, Apic, Args as PayloadArgs};

use super::here::Here;
use super::lab::LabArgs;
use super::session::Holds;
use super::{Exit, Failure};
use crate::cpu::topology::{Topology, XAPIC_ID_MAX};
use crate::host;
use crate::machine::switches::{self, Meddling, WayIn};
use crate::machine::{self, guest};
use crate::memory::MemorySize;
use crate::os::{allocator, limits};
use crate::report::output;
use crate::sched::config::Sched;
use crate::spec::{
    Boot, Choice, DisabledExit, GivenCmdline, Guest, Interface, MEMORY_DEFAULT_MIB, PvUnhalt,
    RunSpec, VCPUS_DEFAULT,
};

/// Arguments of `vmm run`.
#[derive(Clone, Debug, ClapArgs)]
// `--memory -1` is a bad value, not an option `-1`.
#[command(allow_negative_numbers = true)]
pub struct RunArgs {
    /// A PVH ELF, a Linux kernel (vmlinux or bzImage) or a multiboot image; without it, the bundled payload runs
    guest: Option<PathBuf>,

    /// The guest's command line
    #[arg(last = true)]
    guest_args: Vec<String>,

    /// The guest's command line as one string, instead of what follows --
    #[arg(long, value_name = "STRING", conflicts_with = "guest_args")]
    cmdline: Option<String>,

    /// Linux's initial RAM disk; several are the modules of a multiboot image
    #[arg(long, value_name = "FILE")]
    initrd: Vec<PathBuf>,

    /// Number of vCPUs [default: 4, or what --topology multiplies to]
    #[arg(long, value_name = "N", value_parser = vcpus)]
    vcpus: Option<u32>,

    /// Guest memory, with K, M or G
    #[arg(long, value_name = "SIZE", default_value_t = MemorySize::from_mib(MEMORY_DEFAULT_MIB))]
    memory: MemorySize,

    /// Sockets, cores a socket and threads a core: sockets=S,cores=C,threads=T
    #[arg(long, value_name = "LIST")]
    topology: Option<Topology>,

    /// Who takes the kick hypercall
    #[arg(long, value_enum, default_value = "auto")]
    kick: Choice,

    /// Where a halted vCPU waits
    #[arg(long, value_enum, default_value = "auto")]
    halt: Choice,

    /// Tell the guest that it may halt in a lock's slow path
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"])]
    pv_unhalt: String,

    /// PV features that CPUID does not show do not work
    #[arg(long)]
    enforce_pv: bool,

    /// Show Xen's interface too: event channels, SCHEDOP_poll, the hypercall page
    #[arg(long)]
    xen: bool,

    /// Tell the guest that its vCPUs are never preempted for long
    #[arg(long)]
    hint_realtime: bool,

    /// How long a halted vCPU polls before it gives up its pCPU, in ns
    #[arg(long, value_name = "N")]
    halt_poll_ns: Option<u32>,

    /// Exits to disable, separated by commas; hlt takes PV_UNHALT away
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',')]
    disable_exits: Vec<DisabledExit>,

    /// Swallow the K-th kick, to see a hang reported
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    drop_kick: Option<u64>,

    /// Linear address of the vmcall itself (objdump -d), not of its function, in hexadecimal
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    kick_site: Option<u64>,

    #[command(flatten)]
    lab: LabArgs,

    #[command(flatten)]
    here: Here,
}

/// An address in hexadecimal.
fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16)
        .map_err(|_| "not an address in hexadecimal, as System.map has them".to_owned())
}

/// A number of vCPUs; KVM's limit is looked at once KVM is open.
fn vcpus(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Err("at least 1; `vmm doctor` tells the most".to_owned()),
        Ok(vcpus) => Ok(vcpus),
        Err(_) => Err("not a number of vCPUs; `vmm doctor` tells the most".to_owned()),
    }
}

impl RunArgs {
    /// Looks for contradictions, without a machine.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2.
    pub(super) fn check(self) -> Result<(), Failure> {
        let spec = self.spec()?;
        if spec.guest == Guest::Bundled {
            let (halt_in, meddling) = (switches::halt_in(spec.halt), Meddling::of(&spec));
            switches::check(spec.kick, halt_in, WayIn::StubPage, meddling)
                .map_err(Failure::usage)?;
        }
        Ok(())
    }

    fn spec(self) -> Result<RunSpec, Failure> {
        let topology = match (self.topology, self.vcpus) {
            (Some(topology), vcpus) => {
                topology
                    .check(vcpus.unwrap_or(topology.vcpus()), u32::MAX)
                    .map_err(Failure::usage)?;
                topology
            }
            (None, vcpus) => {
                Topology::flat(vcpus.unwrap_or(VCPUS_DEFAULT)).map_err(Failure::usage)?
            }
        };
        let cmdline = match self.cmdline {
            Some(text) => GivenCmdline::Text(text),
            None if self.guest_args.is_empty() => GivenCmdline::Default,
            None => GivenCmdline::Text(self.guest_args.join(" ")),
        };
        let guest = self.guest.map_or(Guest::Bundled, Guest::File);
        let xen = if self.xen {
            Interface::Xen
        } else {
            Interface::Kvm
        };
        if guest == Guest::Bundled {
            check_payload_args(cmdline.text(), &topology, xen)?;
        }
        let mut host = self.here.host_side()?;
        host.lab = self.lab.lab(self.halt, || self.here.host_cpus())?;
        let halt = match host.lab.sched {
            Sched::Tokens(_) => Choice::Vmm,
            Sched::Host => self.halt,
        };
        Ok(RunSpec {
            guest,
            cmdline,
            boot: Boot {
                initrds: self.initrd,
                kick_site: self.kick_site,
            },
            topology,
            memory: self.memory,
            kick: self.kick,
            halt,
            pv_unhalt: if self.pv_unhalt == "on" {
                PvUnhalt::On
            } else {
                PvUnhalt::Off
            },
            enforce_pv: self.enforce_pv,
            xen,
            hint_realtime: self.hint_realtime,
            halt_poll_ns: self.halt_poll_ns,
            disable_exits: self.disable_exits,
            host,
            drop_kick: self.drop_kick,
        })
    }
}

/// The payload's own words are checked before anything starts.
fn check_payload_args(
    cmdline: &str,
    topology: &Topology,
    interface: Interface,
) -> Result<(), Failure> {
    let args = PayloadArgs::parse(cmdline, |_| false).map_err(|bad| {
        Failure::usage(anyhow::anyhow!(
            "guest argument `{}`: expected {}",
            bad.word,
            bad.expected
        ))
    })?;
    if args.pv == args::Interface::Xen && interface == Interface::Kvm {
        return Err(Failure::usage(anyhow::anyhow!(
            "guest argument `pv=xen`: the guest does not find Xen's interface; add --xen, or leave \
             it out"
        )));
    }
    let highest = topology.max_apic_id();
    if args.apic == Apic::XApic && highest > XAPIC_ID_MAX {
        return Err(Failure::usage(anyhow::anyhow!(
            "guest argument `apic=xapic`: the topology has APIC ID {highest}, and xAPIC mode ends \
             at {XAPIC_ID_MAX}; leave it out or ask for fewer"
        )));
    }
    let (vcpus, most) = (topology.vcpus(), args.max_cpus());
    if vcpus > most {
        return Err(Failure::usage(anyhow::anyhow!(
            "--vcpus {vcpus}: lock {} numbers at most {most} CPUs with these tickets",
            args.lock.name()
        )));
    }
    Ok(())
}

/// What a machine that cannot be built deserves.
pub(super) fn failure(error: machine::Error) -> Failure {
    let exit = match &error {
        machine::Error::Switches(error) if !error.is_host_limit() => Exit::Usage,
        machine::Error::Guest(guest::Error::Memory(_)) => Exit::Host,
        machine::Error::Guest(_)
        | machine::Error::Handshake(_)
        | machine::Error::Topology(_)
        | machine::Error::TooManyVcpus { .. }
        | machine::Error::MemorySize(_)
        | machine::Error::MemoryRanges
        | machine::Error::SerialFile(..) => Exit::Usage,
        _ => Exit::Host,
    };
    Failure {
        exit,
        error: error.into(),
    }
}

/// Runs the guest and reports.
///
/// # Errors
/// [`Failure`] with exit code 2 or 3.
pub fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let json = args.here.report_target()?;
    let here = &args.here;
    let spec = args.clone().spec()?;
    let mut session = here.session(json, expected_duration(&spec))?;
    let kvm = host::open_kvm().map_err(Failure::host)?;
    limits::raise_open_files();
    allocator::use_one_arena();
    let mut machine = machine::build(&kvm, &spec).map_err(failure)?;
    if spec.disable_exits.contains(&DisabledExit::Hlt) && spec.pv_unhalt == PvUnhalt::On {
        output::print_aside(
            b"vmm: --disable-exits hlt: PV_UNHALT is not shown to the guest, because a halted \
              vCPU would keep its pCPU\n",
        );
    }
    if machine.kicks_reach_nobody(spec.pv_unhalt) {
        output::print_aside(
            b"vmm: PV_UNHALT is not shown to the guest: KVM's kick does not work on this host, and \
              the image has no symbol kvm_kick_cpu; tell where its vmcall is by --kick-site\n",
        );
    }
    if !machine.cmdline_added.is_empty() {
        let added = machine.cmdline_added.join(" ");
        let why = "this host emulates CPL 0, so the kernel must leave some instructions alone";
        output::print_aside(format!("vmm: {why}; added to its command line: {added}\n").as_bytes());
    }
    let finished = if session.waits_for_debugger() {
        let paused = machine.start_paused().map_err(failure)?;
        let machine = paused.machine();
        let holds = Holds {
            debugger: Some(paused),
            ..Holds::default()
        };
        session.run(machine, holds)?
    } else {
        machine.start().map_err(failure)?;
        session.run(&machine, Holds::default())?
    };
    machine.stop();
    session.report(machine, finished)
}

fn expected_duration(spec: &RunSpec) -> Option<Duration> {
    (spec.guest == Guest::Bundled)
        .then(|| PayloadArgs::parse(spec.cmdline.text(), |_| true).ok())
        .flatten()
        .map(|args| Duration::from_millis(u64::from(args.settle_ms) + u64::from(args.duration_ms)))
}
