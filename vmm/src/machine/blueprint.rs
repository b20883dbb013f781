//! What a machine is, apart from its state: enough to build it again in another process.

use guest_payload::args::Args;
use serde::{Deserialize, Serialize};

use super::Error;
use super::platform::PcBuild;
use super::xen::XenBuild;
use crate::boot::Platform;
use crate::cpu::topology::Topology;
use crate::memory::MemorySize;
use crate::pv::{HaltIn, KickBy};
use crate::spec::{DisabledExit, Guest, RunSpec, patience};
use std::time::Duration;

/// A machine's build, with every `auto` decided. Saved with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blueprint {
    /// The guest's name: a path, or the bundled payload.
    pub guest: String,
    /// Its command line.
    pub cmdline: String,
    /// Sockets.
    pub sockets: u32,
    /// Cores a socket.
    pub cores: u32,
    /// Threads a core.
    pub threads: u32,
    /// Guest memory.
    pub memory_bytes: u64,
    /// Who takes the kick.
    pub kick_by: KickBy,
    /// Where halted vCPUs wait.
    pub halt_in: HaltIn,
    /// Whether CPUID shows PV_UNHALT.
    pub shows_pv_unhalt: bool,
    /// `KVM_CAP_ENFORCE_PV_FEATURE_CPUID`.
    pub enforce_pv: bool,
    /// Whether CPUID shows `KVM_HINTS_REALTIME`.
    pub hint_realtime: bool,
    /// `--halt-poll-ns`.
    pub halt_poll_ns: Option<u32>,
    /// Disabled exits, as the bits of `KVM_CAP_X86_DISABLE_EXITS`.
    pub disabled_exits: u64,
    /// Whether the guest has a stub page, and with it our ports.
    pub has_stub_page: bool,
    /// Where the payload's results are, if it says so.
    pub results_gpa: Option<u64>,
    /// CPUID.1:EAX, which EDX holds after INIT.
    pub signature: u32,
    /// What a machine for foreign guests has beside. Saved apart, so that the form of a machine
    /// without it stays what it was.
    #[serde(skip)]
    pub pc: Option<PcBuild>,
    /// How Xen's interface was built, under `--xen`. Saved apart, as [`Self::pc`].
    #[serde(skip)]
    pub xen: Option<XenBuild>,
    /// Where the handshake page is, if the guest has one. Not saved: the laboratory is this
    /// process's, and a machine that comes from elsewhere runs without it.
    #[serde(skip)]
    pub handshake_gpa: Option<u64>,
}

/// What the trials of this host and the guest's image decided.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) cmdline: String,
    pub(super) kick_by: KickBy,
    pub(super) halt_in: HaltIn,
    pub(super) shows_pv_unhalt: bool,
    pub(super) has_stub_page: bool,
    pub(super) results_gpa: Option<u64>,
    pub(super) handshake_gpa: Option<u64>,
    pub(super) signature: u32,
    pub(super) pc: Option<PcBuild>,
    pub(super) xen: Option<XenBuild>,
}

impl Blueprint {
    /// Of what was asked for and decided.
    pub(super) fn new(spec: &RunSpec, decided: Decided) -> Self {
        Self {
            guest: match &spec.guest {
                Guest::Bundled => crate::report::run::BUNDLED_GUEST.to_owned(),
                Guest::File(path) => path.display().to_string(),
            },
            cmdline: decided.cmdline,
            sockets: spec.topology.sockets(),
            cores: spec.topology.cores(),
            threads: spec.topology.threads(),
            memory_bytes: spec.memory.bytes(),
            kick_by: decided.kick_by,
            halt_in: decided.halt_in,
            shows_pv_unhalt: decided.shows_pv_unhalt,
            enforce_pv: spec.enforce_pv,
            hint_realtime: spec.hint_realtime,
            halt_poll_ns: spec.halt_poll_ns,
            disabled_exits: DisabledExit::bits(&spec.disable_exits),
            has_stub_page: decided.has_stub_page,
            results_gpa: decided.results_gpa,
            signature: decided.signature,
            pc: decided.pc,
            xen: decided.xen,
            handshake_gpa: decided.handshake_gpa,
        }
    }

    /// The topology.
    ///
    /// # Errors
    /// [`Error::Topology`] for numbers no `vmm run` takes.
    pub fn topology(&self) -> Result<Topology, Error> {
        Ok(Topology::new(self.sockets, self.cores, self.threads)?)
    }

    /// The amount of memory.
    ///
    /// # Errors
    /// [`Error::MemorySize`] for an amount no `vmm run` takes.
    pub fn memory(&self) -> Result<MemorySize, Error> {
        MemorySize::from_bytes(self.memory_bytes).ok_or(Error::MemorySize(self.memory_bytes))
    }

    /// What there is beside the vCPUs.
    pub fn platform(&self) -> Platform {
        match self.pc {
            Some(_) => Platform::Pc,
            None => Platform::Bare,
        }
    }

    /// vCPUs.
    pub fn vcpus(&self) -> u32 {
        self.sockets
            .saturating_mul(self.cores)
            .saturating_mul(self.threads)
    }

    /// The disabled exits by name.
    pub fn disabled_exit_names(&self) -> Vec<String> {
        DisabledExit::ALL
            .iter()
            .filter(|exit| self.disabled_exits & exit.bit() != 0)
            .map(|exit| exit.name().to_owned())
            .collect()
    }

    /// The payload's arguments, defaults where another guest runs.
    pub fn payload_args(&self) -> Args<'_> {
        Args::parse(&self.cmdline, |_| true).unwrap_or(Args::DEFAULT)
    }

    /// How much longer than usual this guest may go without progress.
    pub fn patience(&self) -> Duration {
        patience(&self.payload_args(), self.vcpus())
    }
}
