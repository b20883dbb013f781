//! The parts of a snapshot that are there once.

use serde::Serialize;

use crate::cpu::clock::ClockSample;
use crate::cpu::compat::HostNeeds;
use crate::device::DeviceSet;
use crate::host::Kind;
use crate::machine::blueprint::Blueprint;
use crate::machine::state::DeviceState;
use crate::pv::{HaltIn, KickBy};
use crate::report::hex::Hex;
use crate::snapshot::{CheckedSnapshot, Label, ListedSection, Need, RegionUse};

/// A line of the table of sections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Number of its kind.
    pub kind: u32,
    /// Name of its kind; `None` for one of a newer vmm's.
    pub name: Option<String>,
    /// Which of its kind.
    pub instance: u32,
    /// Version of its content.
    pub version: u32,
    /// Whether a vmm that does not know it may go on without it.
    pub need: Need,
    /// Where its content is in the file.
    pub offset: u64,
    /// Length of its content.
    pub bytes: u64,
    /// CRC-32 of its content.
    pub crc32: Hex,
}

impl From<&ListedSection> for Section {
    fn from(listed: &ListedSection) -> Self {
        let (kind, name, instance) = match listed.label {
            Label::Known(kind, instance) => (kind.number(), Some(kind.to_string()), instance),
            Label::Unknown(number, instance) => (number, None, instance),
        };
        Self {
            kind,
            name,
            instance,
            version: listed.version,
            need: listed.need,
            offset: listed.offset,
            bytes: listed.bytes,
            crc32: Hex(listed.crc32.into()),
        }
    }
}

/// How the machine was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The guest: `bundled` or a path.
    pub guest: String,
    /// Its command line.
    pub cmdline: String,
    /// vCPUs.
    pub vcpus: u32,
    /// Sockets.
    pub sockets: u32,
    /// Cores a socket.
    pub cores: u32,
    /// Threads a core.
    pub threads: u32,
    /// Guest memory.
    pub memory_bytes: u64,
    /// Who takes the kick.
    pub kick: KickBy,
    /// Where halted vCPUs wait.
    pub halt: HaltIn,
    /// Whether CPUID shows PV_UNHALT.
    pub pv_unhalt: bool,
    /// `--enforce-pv`.
    pub enforce_pv: bool,
    /// `--hint-realtime`.
    pub hint_realtime: bool,
    /// `--halt-poll-ns`.
    pub halt_poll_ns: Option<u32>,
    /// `--disable-exits`.
    pub disable_exits: Vec<String>,
    /// Whether the guest has a stub page.
    pub has_stub_page: bool,
    /// Where the payload's results are.
    pub results_gpa: Option<Hex>,
    /// Its devices.
    pub devices: DeviceSet,
    /// Where the VMM takes the kicks of a guest without a stub page.
    pub kick_site: Option<Hex>,
    /// `--xen`.
    pub xen: bool,
}

impl From<Blueprint> for Machine {
    fn from(blueprint: Blueprint) -> Self {
        Self {
            vcpus: blueprint.vcpus(),
            disable_exits: blueprint.disabled_exit_names(),
            guest: blueprint.guest,
            cmdline: blueprint.cmdline,
            sockets: blueprint.sockets,
            cores: blueprint.cores,
            threads: blueprint.threads,
            memory_bytes: blueprint.memory_bytes,
            kick: blueprint.kick_by,
            halt: blueprint.halt_in,
            pv_unhalt: blueprint.shows_pv_unhalt,
            enforce_pv: blueprint.enforce_pv,
            hint_realtime: blueprint.hint_realtime,
            halt_poll_ns: blueprint.halt_poll_ns,
            has_stub_page: blueprint.has_stub_page,
            results_gpa: blueprint.results_gpa.map(Hex),
            devices: blueprint
                .pc
                .as_ref()
                .map_or(DeviceSet::Bare, |pc| pc.devices),
            kick_site: blueprint.pc.and_then(|pc| pc.kick_site).map(Hex),
            xen: blueprint.xen.is_some(),
        }
    }
}

/// The host it ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Kind of KVM.
    pub kind: Kind,
    /// Release of the kernel.
    pub kernel: String,
    /// Rate of the guest's TSC.
    pub tsc_khz: Option<u32>,
    /// Entries of CPUID.
    pub cpuid_entries: usize,
    /// MSRs that hold something.
    pub msrs: usize,
    /// Length of an XSAVE area.
    pub xsave_bytes: u32,
    /// What else the guest stands on.
    pub capabilities: Vec<String>,
}

impl From<HostNeeds> for Host {
    fn from(needs: HostNeeds) -> Self {
        let mut capabilities: Vec<_> = needs
            .capabilities
            .known()
            .map(|one| one.to_string())
            .collect();
        if needs.capabilities.unknown() {
            capabilities.push("something that only a newer version of vmm knows".to_owned());
        }
        Self {
            kind: needs.kind,
            kernel: needs.kernel,
            tsc_khz: needs.tsc_khz,
            cpuid_entries: needs.cpuid.as_slice().len(),
            msrs: needs.msrs.as_slice().len(),
            xsave_bytes: needs.xsave_bytes,
            capabilities,
        }
    }
}

/// The clocks at the time of saving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// kvmclock in ns.
    pub kvmclock_ns: u64,
    /// The host's real time in ns since 1970.
    pub realtime_ns: Option<u64>,
    /// The host's TSC.
    pub host_tsc: Option<Hex>,
}

impl From<ClockSample> for Clock {
    fn from(sample: ClockSample) -> Self {
        Self {
            kvmclock_ns: sample.clock_ns,
            realtime_ns: sample.realtime_ns,
            host_tsc: sample.host_tsc.map(Hex),
        }
    }
}

/// The devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Devices {
    /// Serial output that no reader had taken.
    pub serial_unsent_bytes: usize,
    /// Numbers written to the counting device.
    pub counter_writes: u64,
    /// Numbers read from it.
    pub counter_reads: u64,
    /// Whether CPL 3 may make hypercalls.
    pub user_hypercalls: bool,
}

impl From<DeviceState> for Devices {
    fn from(state: DeviceState) -> Self {
        let sum = |count: fn(&crate::device::counter::IoCounts) -> u64| {
            let counts = state.counter.channels.iter();
            counts.fold(0, |sum: u64, channel| {
                sum.saturating_add(count(&channel.counts))
            })
        };
        Self {
            serial_unsent_bytes: state.serial.unsent.len(),
            counter_writes: sum(|counts| counts.writes),
            counter_reads: sum(|counts| counts.reads),
            user_hypercalls: state.user_hypercalls,
        }
    }
}

/// Guest memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of it.
    pub bytes: u64,
    /// What of it is in the file and no hole.
    pub data_bytes: u64,
    /// Length of a chunk.
    pub chunk_bytes: u32,
    /// Whether its bytes are those that were written.
    pub checked: Checked,
    /// By address.
    pub regions: Vec<Region>,
}

/// Whether the bytes of memory are those that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Checked {
    /// They were not read.
    No,
    /// They are.
    Good,
    /// They are not.
    Damaged,
}

/// A region of guest memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Guest-physical address.
    pub gpa: Hex,
    /// Its length.
    pub bytes: u64,
    /// Where it is in the file.
    pub offset: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Those that are all hole.
    pub holes: u64,
    /// What of it is in the file and no hole.
    pub data_bytes: u64,
}

impl Memory {
    /// Of a snapshot whose regions take `in_use`.
    pub fn of(snapshot: &CheckedSnapshot, in_use: &[RegionUse]) -> Self {
        let regions: Vec<_> = snapshot
            .memory_regions()
            .iter()
            .zip(in_use)
            .map(|(region, in_use)| Region {
                gpa: Hex(region.gpa),
                bytes: region.bytes,
                offset: region.file_offset,
                chunks: in_use.chunks,
                holes: in_use.holes,
                data_bytes: in_use.data_bytes,
            })
            .collect();
        Self {
            bytes: regions.iter().map(|region| region.bytes).sum(),
            data_bytes: regions.iter().map(|region| region.data_bytes).sum(),
            chunk_bytes: snapshot.chunk_bytes(),
            checked: Checked::No,
            regions,
        }
    }
}
