//! The run report, field by field as in the JSON schema `vmm.run/1`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::crash::CrashReport;
use super::hang::HangReport;
use super::hex::Hex;
use super::payload::PayloadResults;
use super::ple::{KickFaultReport, PleReport};
use crate::host::Kind;
use crate::pv::xen::HypercallsBy;
use crate::pv::{HaltIn, KickBy};

/// Value of [`RunReport::schema`].
pub const SCHEMA: &str = "vmm.run/1";

/// All that one run found.
///
/// What only the bundled payload can tell (acquisitions, violations, waits, slow path) is in
/// [`Self::payload`]. Its fields stand in the report's own JSON object and are absent when another
/// guest ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// How the run ended, in one word.
    pub outcome: Outcome,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// The machine it ran on.
    pub host: Host,
    /// What was asked for, with every `auto` replaced by what it became.
    pub config: Config,
    /// Seconds that [`PayloadResults::acquisitions`] were counted over: from the last vCPU's entry
    /// into the workload to its end. For other guests, seconds from the first `KVM_RUN` to the end.
    pub seconds: f64,
    /// The bundled payload's own numbers; absent for other guests and where the payload did not
    /// come as far as its workload.
    #[serde(flatten)]
    pub payload: Option<PayloadResults>,
    /// The kicks that the VMM handled; null with `--kick kvm`, where it sees none.
    pub kicks: Option<Kicks>,
    /// One entry a vCPU, in the order of their indices.
    pub vcpus: Vec<VcpuReport>,
    /// Exits to the VMM by reason, all vCPUs.
    pub exits: BTreeMap<String, u64>,
    /// KVM's binary statistics that moved during the run, summed over VM and vCPUs. Units are in
    /// the names that the kernel gives; a name that ends in `_hist` counts observations.
    pub kvm_stats: BTreeMap<String, u64>,
    /// Present where the VMM scheduled the vCPUs (`--sched`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sched: Option<SchedReport>,
    /// Present where the laboratory was used, or the host has pause-loop exiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ple: Option<PleReport>,
    /// Present under `--kick-fault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kick_faults: Option<KickFaultReport>,
    /// Present when the outcome is `hung`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hang: Option<HangReport>,
    /// Present when the outcome is `crashed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash: Option<CrashReport>,
    /// Present when the guest ended by writing this to the debug-exit port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug_exit: Option<u32>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The guest finished and every check held.
    Completed,
    /// A lock broke a promise; see [`Violations`](super::violations::Violations).
    Violated,
    /// No vCPU made progress; see [`HangReport`].
    Hung,
    /// The guest cannot go on; see [`CrashReport`].
    Crashed,
    /// The guest was stopped before it had finished; no check had failed by then.
    Timeout,
    /// `vmm stop` or `vmm snapshot --stop`; no check had failed by then.
    Stopped,
    /// The machine runs in another process now; no check had failed by then.
    Migrated,
}

/// Who ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The guest: it stopped, reset or crashed.
    Guest,
    /// The watchdog that saw no progress.
    Watchdog,
    /// `--timeout`.
    Timeout,
    /// Ctrl-C or SIGTERM.
    Interrupt,
    /// A request over the API socket.
    Api,
    /// Ctrl-A x on the guest's console.
    Console,
}

/// The machine a run ran on. Numbers from hosts of different kinds do not compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// What KVM virtualises with.
    pub kind: Kind,
    /// Kernel release, as `uname -r` prints it.
    pub kernel: String,
}

/// What a run was asked for, as it was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// [`BUNDLED_GUEST`] or the path of the guest's ELF.
    pub guest: String,
    /// Number of vCPUs.
    pub vcpus: u32,
    /// Who takes the kick hypercall.
    pub kick: KickBy,
    /// Where a halted vCPU waits.
    pub halt: HaltIn,
    /// The payload's choices; absent for other guests.
    #[serde(flatten)]
    pub workload: Option<Workload>,
    /// Guest memory in bytes.
    pub memory_bytes: u64,
    /// How APIC IDs are built.
    pub topology: Topology,
    /// Whether CPUID offers PV_UNHALT.
    pub pv_unhalt: bool,
    /// Whether KVM refuses PV features that CPUID does not offer.
    pub enforce_pv: bool,
    /// Whether CPUID says that vCPUs are never preempted for long.
    pub hint_realtime: bool,
    /// How hypercalls of Xen's interface come to the VMM; absent without `--xen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xen_hypercalls: Option<HypercallsBy>,
    /// KVM's halt polling limit in ns; null for the host's default.
    pub halt_poll_ns: Option<u64>,
    /// Exits that were switched off.
    pub disabled_exits: Vec<String>,
    /// Host CPUs that the vCPU threads may run on; null for all.
    pub host_cpus: Option<Vec<u32>>,
    /// The command line of a guest that is not the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// Linear address of the guest's `vmcall` that the VMM takes its kicks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kick_site: Option<Hex>,
    /// How vCPUs were kept off their pCPUs on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preempt: Option<Preempt>,
}

/// `--preempt`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preempt {
    /// Times a second, over all vCPUs.
    pub per_second: f64,
    /// For so long each.
    pub hold_ns: u64,
}

/// [`Config::guest`] of the payload inside the binary.
pub const BUNDLED_GUEST: &str = "bundled";

/// What the bundled payload ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Name of the lock.
    pub lock: String,
    /// Ring that the locks ran in: 0 or 3.
    pub ring: u8,
    /// Bits of one ticket: 8 or 16; 0 for locks without tickets.
    pub ticket_bits: u8,
    /// Whether the PV slow path was patched in.
    pub pv_active: bool,
    /// Whose interface it uses: `native`, `kvm` or `xen`. Absent in older reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pv: Option<String>,
    /// Spins before the slow path.
    pub threshold_spins: u64,
    /// Number of locks.
    pub locks: u32,
    /// Empty loop iterations inside a lock.
    pub hold: u64,
    /// Empty loop iterations between two locks.
    pub think: u64,
    /// Seconds that the workload was to last.
    pub workload_seconds: f64,
    /// Seed of the choice of locks.
    pub seed: u64,
}

/// Sockets, cores in each, threads in each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Number of sockets.
    pub sockets: u32,
    /// Cores in one socket.
    pub cores: u32,
    /// Threads in one core.
    pub threads: u32,
}

/// The kicks that the VMM handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kicks {
    /// Kick hypercalls taken.
    pub handled: u64,
    /// Kicks that found their vCPU halted and woke it.
    pub to_halted: u64,
    /// Kicks that found their vCPU not halted: its next halt returns at once.
    pub to_running: u64,
    /// Kicks of a vCPU that waits for SIPI: ignored.
    pub waiting_for_sipi: u64,
    /// Kicks of a vCPU whose local APIC is software-disabled: lost, as on hardware.
    pub not_accepted: u64,
    /// Kicks of an APIC ID that no vCPU has.
    pub no_such_apic_id: u64,
    /// Kicks of all vCPUs at once. Each counts once here and once per vCPU above.
    pub broadcast: u64,
    /// Kicks swallowed by `--drop-kick` and `--kick-fault`.
    pub dropped: u64,
}

/// What the VMM's scheduler did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedReport {
    /// Name of the policy.
    pub policy: String,
    /// Tokens: vCPUs that ran at a time.
    pub pcpus: u32,
    /// Slice in ns.
    pub slice_ns: u64,
    /// Seed of the draws.
    pub seed: u64,
    /// Tokens given to a vCPU that had none.
    pub switches: u64,
    /// Slices that ended and whose tokens went to others.
    pub expired: u64,
    /// Directed yields that handed a token over.
    pub yields: u64,
    /// vCPUs that lost their tokens on purpose, by `adversarial`; those that `--preempt-holder` keeps
    /// off are in `ple`.
    pub preempted: u64,
    /// Half the hand-overs to a sleeping vCPU took no longer, in ns, from the decision to its
    /// thread's going on; null where there were none.
    pub hand_over_p50_ns: Option<u64>,
    /// 99 in a hundred took no longer.
    pub hand_over_p99_ns: Option<u64>,
    /// Choices between at least two vCPUs.
    pub decisions: u64,
    /// Digest of what was drawn for the first 1024 decisions; null where the policy draws nothing.
    pub draws_digest: Option<Hex>,
    /// Digest of the first 1024 decisions: who was able to run, and who was picked.
    pub picks_digest: Hex,
}

/// One vCPU's part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuReport {
    /// Its APIC ID.
    pub apic_id: u32,
    /// Locks taken; null without the payload.
    pub acquisitions: Option<u64>,
    /// Halts: the payload's count in its slow path or, for other guests, the VMM's or KVM's own.
    /// Null where nobody counts them.
    pub halts: Option<u64>,
    /// Kicks sent; null where neither guest nor VMM counts them.
    pub kicks_sent: Option<u64>,
    /// Longest wait for a lock in ns; null without the payload.
    pub wait_max_ns: Option<u64>,
    /// Exits to the VMM.
    pub exits: u64,
}
