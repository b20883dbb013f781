//! What goes over the API socket, field by field as in its OpenAPI document.
//!
//! Requests take no field that they do not know: a misspelt option must not be ignored. Answers may
//! gain fields.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use guest_payload::abi;
use serde::{Deserialize, Serialize};

use crate::host::Kind;
use crate::pv::halt::Doing;
use crate::pv::{HaltIn, KickBy};
use crate::report::percentile::WaitNs;
use crate::report::run::Kicks;

/// How the machine is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What its vCPUs do.
    pub state: State,
    /// Version of the `vmm` that runs it.
    pub version: String,
    /// `bundled` or the path of the guest's ELF.
    pub guest: String,
    /// Number of vCPUs.
    pub vcpus: u32,
    /// Who takes the kick hypercall.
    pub kick: KickBy,
    /// Where a halted vCPU waits.
    pub halt: HaltIn,
    /// Guest memory in bytes.
    pub memory_bytes: u64,
    /// What KVM virtualises with.
    pub host_kind: Kind,
    /// Seconds since this process started or restored the guest.
    pub uptime_seconds: f64,
    /// Kicks that no saved MP_STATE showed and that were given back when the guest came here from
    /// a snapshot or another process.
    pub kicks_repaired: u64,
    /// The bundled payload's own numbers; null for other guests.
    pub payload: Option<PayloadStatus>,
    /// The snapshot or migration under way; null if none is.
    pub operation: Option<Operation>,
}

/// What the vCPUs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// They run.
    Running,
    /// They are paused.
    Paused,
    /// They run while their memory is on its way to another process.
    Migrating,
    /// The guest has ended or has moved; they never run here again.
    Ended,
}

/// What the payload says. All of it is guest memory: a hostile guest may say anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadStatus {
    /// How far it is.
    pub state: PayloadState,
    /// Locks taken, all vCPUs.
    pub acquisitions: u64,
    /// Halts, all vCPUs.
    pub halts: u64,
    /// Kicks sent, all vCPUs.
    pub kicks_sent: u64,
    /// Promises that a lock broke, of every kind.
    pub violations: u64,
    /// Times that a vCPU saw the TSC go back.
    pub tsc_backwards: u64,
    /// Times that a vCPU saw kvmclock go back.
    pub kvmclock_backwards: u64,
    /// Port accesses that were done twice.
    pub io_duplicated: u64,
    /// Port accesses that were not done.
    pub io_lost: u64,
}

/// How far the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadState {
    /// Not all vCPUs are in the workload.
    Booting,
    /// All vCPUs are in the workload.
    Running,
    /// Every vCPU has left the workload.
    Finished,
    /// The payload gave up.
    Crashed,
    /// The results page says something else.
    Unknown,
}

impl PayloadState {
    /// The meaning of `Results::state`.
    pub fn from_abi(state: u32) -> Self {
        match state {
            abi::STATE_BOOTING => Self::Booting,
            abi::STATE_RUNNING => Self::Running,
            abi::STATE_FINISHED => Self::Finished,
            abi::STATE_CRASHED => Self::Crashed,
            _ => Self::Unknown,
        }
    }
}

/// What the machine does and has done, vCPU by vCPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// What its vCPUs may do: those of a machine that is paused stand still.
    pub state: State,
    /// Seconds since this process started or restored the guest.
    pub uptime_seconds: f64,
    /// The kicks that the VMM handled; null where KVM takes them.
    pub kicks: Option<Kicks>,
    /// Waits for locks; null for guests other than the bundled payload, and before the first wait.
    pub wait_ns: Option<WaitNs>,
    /// By index.
    pub vcpus: Vec<VcpuStats>,
}

/// One vCPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuStats {
    /// Its APIC ID.
    pub apic_id: u32,
    /// What it does; null where KVM does not tell.
    pub state: Option<VcpuState>,
    /// Times that it left KVM_RUN.
    pub exits: u64,
    /// The same by their reasons; those that there were.
    pub exits_by_reason: BTreeMap<String, u64>,
    /// Times that it left the guest, KVM's own work included; null where KVM does not tell.
    pub kvm_exits: Option<u64>,
    /// Times that it halted.
    pub halts: u64,
    /// Kicks that it sent; null where KVM takes them and the guest does not tell.
    pub kicks_sent: Option<u64>,
    /// Kicks that it got; null where KVM takes them.
    pub kicks_received: Option<u64>,
    /// Locks that it took; null for guests other than the bundled payload.
    pub acquisitions: Option<u64>,
}

/// What a vCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VcpuState {
    /// It runs, or would if it had a pCPU.
    Running,
    /// It is halted.
    Halted,
    /// It has not been started.
    WaitingForSipi,
}

impl From<Doing> for VcpuState {
    fn from(doing: Doing) -> Self {
        match doing {
            Doing::Runs => Self::Running,
            Doing::Halted => Self::Halted,
            Doing::WaitsForSipi => Self::WaitingForSipi,
        }
    }
}

/// A snapshot or migration under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Which.
    pub kind: OperationKind,
    /// What it does now, for people.
    pub phase: String,
    /// Pre-copy round, from 1; null outside pre-copy.
    pub round: Option<u32>,
    /// Bytes written or sent so far.
    pub bytes_done: u64,
    /// Bytes that there are to write or send, as far as known now.
    pub bytes_total: u64,
    /// Bytes a second over the last moments.
    pub rate_bytes_per_second: u64,
    /// Bytes a second that the guest dirties; null where nobody counts.
    pub dirty_bytes_per_second: Option<u64>,
    /// How long the guest would stand still if it were paused now, in ns; null where unknown.
    pub expected_downtime_ns: Option<u64>,
}

/// Kinds of [`Operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Saving to a file.
    Snapshot,
    /// Moving to another process.
    Migrate,
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snapshot => "a snapshot",
            Self::Migrate => "a migration",
        })
    }
}

/// What to save, and what then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRequest {
    /// Absolute path of the file. An older file of that name stays until the new one is whole.
    pub file: PathBuf,
    /// What the machine does afterwards.
    #[serde(default)]
    pub then: Then,
}

/// What a machine does after its snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// It runs on; one that was paused before stays paused.
    #[default]
    Resume,
    /// It stays paused.
    StayPaused,
    /// It ends.
    Stop,
}

/// A snapshot that is on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotDone {
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes, holes included.
    pub file_bytes: u64,
    /// Bytes in it that are no holes.
    pub data_bytes: u64,
    /// How long it took, all in all.
    pub seconds: f64,
    /// How long the vCPUs were paused for it, in ns.
    pub paused_ns: u64,
    /// Kicks that were in no saved state of KVM's and would have been lost.
    pub hidden_kicks: u64,
}

/// Where to move to, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrateRequest {
    /// Where `vmm receive` listens: `unix:` and an absolute path, or `tcp:HOST:PORT`.
    pub target: String,
    /// How long the guest may stand still, in ms.
    #[serde(default = "MigrateRequest::default_downtime_ms")]
    pub downtime_ms: u64,
    /// The guest is paused after this many pre-copy rounds even if the rest does not fit.
    #[serde(default = "MigrateRequest::default_max_rounds")]
    pub max_rounds: u32,
    /// A peer that is silent for longer has failed, in seconds; null for the default.
    #[serde(default)]
    pub peer_timeout_seconds: Option<f64>,
    /// TCP without TLS, over loopback only.
    #[serde(default)]
    pub insecure: bool,
    /// Absolute path of this side's certificate chain, PEM.
    #[serde(default)]
    pub tls_cert: Option<PathBuf>,
    /// Absolute path of this side's private key, PEM.
    #[serde(default)]
    pub tls_key: Option<PathBuf>,
    /// Absolute path of the certificates that the peer's must come from, PEM.
    #[serde(default)]
    pub tls_ca: Option<PathBuf>,
    /// Which memory is compared at the switchover.
    #[serde(default)]
    pub verify: Verify,
}

impl MigrateRequest {
    /// Default of [`Self::downtime_ms`].
    pub const DOWNTIME_MS: u64 = 50;
    /// Default of [`Self::max_rounds`].
    pub const MAX_ROUNDS: u32 = 30;

    /// To `target`, all else as by default.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            downtime_ms: Self::DOWNTIME_MS,
            max_rounds: Self::MAX_ROUNDS,
            peer_timeout_seconds: None,
            insecure: false,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            verify: Verify::default(),
        }
    }

    /// [`Self::peer_timeout_seconds`] as a duration; `None` where it is none.
    pub fn peer_timeout(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.peer_timeout_seconds?).ok()
    }

    fn default_downtime_ms() -> u64 {
        Self::DOWNTIME_MS
    }

    fn default_max_rounds() -> u32 {
        Self::MAX_ROUNDS
    }
}

/// Which memory both sides compare before the target may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// What was sent.
    #[default]
    Sent,
    /// All of it, page by page; takes time while the guest stands still.
    Whole,
}

/// A machine that runs elsewhere now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MigrateDone {
    /// Pre-copy rounds.
    pub rounds: u32,
    /// Bytes sent.
    pub bytes: u64,
    /// Pages sent, those sent again included.
    pub pages: u64,
    /// Pages among them of which only the news that they are zero was sent.
    pub zero_pages: u64,
    /// How long it took, all in all.
    pub seconds: f64,
    /// How long no vCPU ran on either side, in ns.
    pub downtime_ns: u64,
    /// Kicks that were in no saved state of KVM's and would have been lost.
    pub hidden_kicks: u64,
}
