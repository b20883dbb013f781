//! What the user asked for: one validated value a run, and every default.

use std::path::PathBuf;
use std::time::Duration;

use guest_payload::args::Args;

pub use crate::cpu::topology::Topology;
pub use crate::memory::MemorySize;
pub use crate::os::affinity::CpuList;
pub use crate::ple::lab::{KickYield, Lab};
pub use crate::sandbox::Sandbox;

/// `--kick` and `--halt`: `auto` is decided by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// Whatever works on this host.
    Auto,
    /// KVM does it.
    Kvm,
    /// The VMM does it.
    Vmm,
}

/// An exit that `--disable-exits` takes away (`KVM_CAP_X86_DISABLE_EXITS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DisabledExit {
    /// MWAIT and MONITOR.
    Mwait,
    /// HLT. Takes PV_UNHALT away: a halted vCPU would keep its pCPU.
    Hlt,
    /// PAUSE, and with it pause-loop exiting.
    Pause,
    /// C-state residency MSRs.
    Cstate,
}

impl DisabledExit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mwait, Self::Hlt, Self::Pause, Self::Cstate];

    /// The capability's argument for `exits`.
    pub fn bits(exits: &[Self]) -> u64 {
        exits.iter().fold(0, |bits, exit| bits | exit.bit())
    }

    /// Its bit in the capability's argument.
    pub fn bit(self) -> u64 {
        match self {
            Self::Mwait => 1 << 0,
            Self::Hlt => 1 << 1,
            Self::Pause => 1 << 2,
            Self::Cstate => 1 << 3,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mwait => "mwait",
            Self::Hlt => "hlt",
            Self::Pause => "pause",
            Self::Cstate => "cstate",
        }
    }
}

/// Which guest runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guest {
    /// The payload inside this binary.
    Bundled,
    /// A PVH ELF.
    File(PathBuf),
}

/// What a guest gets besides its own image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// Linux's initial RAM disk, or the modules of a multiboot image.
    pub initrds: Vec<PathBuf>,
    /// Linear address of the `vmcall` that kicks, where the image has no symbol that tells.
    pub kick_site: Option<u64>,
}

/// `--preempt`: how often a random vCPU is kept off its pCPU, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preempt {
    /// Times a second, over all vCPUs.
    pub per_second: f64,
    /// For so long.
    pub hold: Duration,
}

/// Where the serial port's output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SerialTarget {
    /// This process's standard output (standard error where JSON goes to standard output).
    Stdio,
    /// Nowhere.
    Null,
    /// A file, made anew.
    File(PathBuf),
    /// Memory, for reading back.
    Buffer,
}

/// How the guest is told of PV_UNHALT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PvUnhalt {
    /// Shown in CPUID.
    On,
    /// Not shown.
    Off,
}

/// Whether the guest finds Xen's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// KVM's alone.
    Kvm,
    /// Xen's, and KVM's behind it.
    Xen,
}

/// Whether kicks are traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracing {
    /// Nothing is recorded.
    #[default]
    Off,
    /// Kicks, halts and wake-ups are recorded, here and in a guest that can.
    On,
}

/// How this process runs a machine: nothing of it goes with the machine to another process.
#[derive(Clone, Debug)]
pub struct HostSide {
    /// Host CPUs for the vCPU threads.
    pub cpus: Option<CpuList>,
    /// The run ends after this, finished or not.
    pub timeout: Option<Duration>,
    /// The serial port.
    pub serial: SerialTarget,
    /// JSON goes to standard output, so nothing else may.
    pub json_on_stdout: bool,
    /// vCPUs are kept off their pCPUs at random.
    pub preempt: Option<Preempt>,
    /// `--trace`.
    pub trace: Tracing,
    /// Somebody may ask how the vCPUs do: KVM's statistics of each are kept at hand.
    pub has_api: bool,
    /// The laboratory's switches.
    pub lab: Lab,
    /// What its threads may ask of the kernel.
    pub sandbox: Sandbox,
}

/// A guest's command line, as far as the user says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenCmdline {
    /// Nothing is said: each kind of guest has its own.
    Default,
    /// This one, which may be empty.
    Text(String),
}

impl GivenCmdline {
    /// What the user gave.
    pub fn text(&self) -> &str {
        match self {
            Self::Default => "",
            Self::Text(text) => text,
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// The guest.
    pub guest: Guest,
    /// Its command line.
    pub cmdline: GivenCmdline,
    /// What else it boots with.
    pub boot: Boot,
    /// Sockets, cores and threads; their product is the number of vCPUs.
    pub topology: Topology,
    /// Guest memory.
    pub memory: MemorySize,
    /// Who takes the kick.
    pub kick: Choice,
    /// Where halted vCPUs wait.
    pub halt: Choice,
    /// PV_UNHALT in CPUID.
    pub pv_unhalt: PvUnhalt,
    /// Features that CPUID does not show do not work (`KVM_CAP_ENFORCE_PV_FEATURE_CPUID`).
    pub enforce_pv: bool,
    /// Xen's interface.
    pub xen: Interface,
    /// Show `KVM_HINTS_REALTIME`.
    pub hint_realtime: bool,
    /// How long a halted vCPU polls before it gives up its pCPU; KVM's own default if not given.
    pub halt_poll_ns: Option<u32>,
    /// Exits to disable.
    pub disable_exits: Vec<DisabledExit>,
    /// How this process runs it.
    pub host: HostSide,
    /// Swallow the kick of this number, from 1.
    pub drop_kick: Option<u64>,
}

impl HostSide {
    /// Any host CPU, no time limit, no sandbox, and nothing written anywhere: what the serial port says
    /// is kept.
    pub fn quiet() -> Self {
        Self {
            cpus: None,
            timeout: None,
            serial: SerialTarget::Buffer,
            json_on_stdout: false,
            preempt: None,
            trace: Tracing::Off,
            has_api: false,
            lab: Lab::default(),
            sandbox: Sandbox::off(),
        }
    }
}

impl RunSpec {
    /// `guest` with these vCPUs, and every default of `vmm run` but for [`HostSide::quiet`].
    pub fn new(guest: Guest, topology: Topology) -> Self {
        Self {
            guest,
            cmdline: GivenCmdline::Default,
            boot: Boot::default(),
            topology,
            memory: MemorySize::from_mib(MEMORY_DEFAULT_MIB),
            kick: Choice::Auto,
            halt: Choice::Auto,
            pv_unhalt: PvUnhalt::On,
            enforce_pv: false,
            xen: Interface::Kvm,
            hint_realtime: false,
            halt_poll_ns: None,
            disable_exits: Vec::new(),
            host: HostSide::quiet(),
            drop_kick: None,
        }
    }

    /// The same with this command line.
    #[must_use]
    pub fn with_cmdline(self, text: &str) -> Self {
        Self {
            cmdline: GivenCmdline::Text(text.to_owned()),
            ..self
        }
    }
}

/// What the payload's own arguments may make `vcpus` CPUs spend without taking a lock, on top of
/// the watchdog's limits: every CPU in turn, on the slowest host, whose CPL 0 is emulated.
pub fn patience(args: &Args<'_>, vcpus: u32) -> Duration {
    const SLOWEST_ITERATION: Duration = Duration::from_micros(5);
    let iterations = args.iterations_per_turn().saturating_mul(u64::from(vcpus));
    let micros = SLOWEST_ITERATION.as_micros();
    Duration::from_micros(iterations.saturating_mul(u64::try_from(micros).unwrap_or(1)))
}

/// Default of `--vcpus`.
pub const VCPUS_DEFAULT: u32 = 4;
/// Default of `--memory`, in MiB.
pub const MEMORY_DEFAULT_MIB: u64 = 128;
/// The watchdog looks for progress this often.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(250);
/// No progress for this long: the vCPUs are looked at.
pub const FIRST_JUDGEMENT_AFTER: Duration = Duration::from_millis(500);
/// No progress for this long, with a vCPU that nobody will wake: hung.
pub const STUCK_AFTER: Duration = Duration::from_secs(5);
/// No progress for this long at all: hung, whatever the vCPUs do.
pub const NO_PROGRESS_AFTER: Duration = Duration::from_secs(60);
