//! What the tests save and load: payloads, guests of a few instructions, and copies of both.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use guest_payload::abi::Control;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use vmm_tests::elf::{CODE_GPA, Elf};
use vmm_tests::guest_code;

use super::load::{LoadError, Loading, Shortfalls};
use super::pause::PausedMachine;
use super::saved::{Description, SavedMachine};
use super::state::MachineState;
use super::{Machine, build, rebuild};
use crate::cpu::clock::ClockPolicy;
use crate::cpu::topology::Topology;
use crate::host;
use crate::memory::{self, MemorySize};
use crate::pv::apic_id::Destination;
use crate::pv::kick::{Delivery, Kicker};
use crate::sched::config::{Sched, TokenSched};
use crate::spec::{Choice, Guest, HostSide, Interface, Lab, RunSpec};
use crate::vcpu::ending::Ending;
use crate::vcpu::inspect::Activity;
use crate::vcpu::state::HiddenKicks;

/// Memory of a payload.
pub(super) const PAYLOAD_MEMORY: MemorySize = MemorySize::from_mib(8);
/// Memory of a guest of a few instructions.
pub(super) const TINY_MEMORY: MemorySize = MemorySize::from_mib(2);
/// A word that a tiny guest writes.
pub(super) const SAID_GPA: u64 = CODE_GPA + 0x4000;
/// A word that a tiny guest waits for.
pub(super) const GO_GPA: u64 = SAID_GPA + 4;

/// A guest that has not got on by then never will.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// How nothing is lost.
pub(super) const LOADING: Loading = Loading {
    clock: ClockPolicy::Continue,
    hidden_kicks: HiddenKicks::Repair,
    shortfalls: Shortfalls::Refuse,
};

fn spec(
    guest: Guest,
    cmdline: &str,
    topology: Topology,
    halt: Choice,
    memory: MemorySize,
) -> RunSpec {
    RunSpec {
        memory,
        kick: Choice::Vmm,
        halt,
        ..RunSpec::new(guest, topology).with_cmdline(cmdline)
    }
}

/// The bundled payload, not started.
pub(super) fn payload(topology: Topology, halt: Choice, cmdline: &str) -> Machine {
    let spec = spec(Guest::Bundled, cmdline, topology, halt, PAYLOAD_MEMORY);
    build(&host::open_kvm().unwrap(), &spec).unwrap()
}

/// The same under the VMM's scheduler.
pub(super) fn payload_under(sched: TokenSched, topology: Topology, cmdline: &str) -> Machine {
    let lab = Lab {
        sched: Sched::Tokens(sched),
        ..Lab::default()
    };
    payload_in(lab, topology, Choice::Vmm, cmdline)
}

/// The same in a laboratory.
pub(super) fn payload_in(lab: Lab, topology: Topology, halt: Choice, cmdline: &str) -> Machine {
    let mut spec = spec(Guest::Bundled, cmdline, topology, halt, PAYLOAD_MEMORY);
    spec.host.lab = lab;
    build(&host::open_kvm().unwrap(), &spec).unwrap()
}

/// A guest that is `code`, in 32-bit mode without a stack, not started. It has a stub page and with
/// it our ports.
pub(super) fn tiny(code: &[u8], vcpus: u32, halt: Choice) -> Machine {
    tiny_with(code, vcpus, halt, Interface::Kvm)
}

/// The same, which finds this interface.
pub(super) fn tiny_with(code: &[u8], vcpus: u32, halt: Choice, interface: Interface) -> Machine {
    let file = TempFile::new();
    let elf = Elf::guest(code).stub_page(CODE_GPA + 0x8000);
    fs::write(&file.0, elf.bytes()).unwrap();
    let topology = Topology::flat(vcpus).unwrap();
    let guest = Guest::File(file.0.clone());
    let spec = RunSpec {
        xen: interface,
        ..spec(guest, "", topology, halt, TINY_MEMORY)
    };
    build(&host::open_kvm().unwrap(), &spec).unwrap()
}

/// Enables its local APIC, says 1, and looks at a word until that says that it may go on. Then it
/// halts with interrupts off, and ends when it wakes.
pub(super) fn by_hlt() -> &'static [u8] {
    guest_code!(
        ".code32",
        "mov dword ptr [0xfee000f0], 0x1ff",
        "mov dword ptr [0x104000], 1",
        "3: cmp dword ptr [0x104004], 0; je 3b",
        "hlt",
        "xor eax, eax; out 0xe7, al",
        "9: jmp 9b",
    )
}

/// Waits until a tiny guest has said `what`.
pub(super) fn wait_until_said(machine: &Machine, what: u32) {
    wait_until(machine, || word(&machine.memory, SAID_GPA) == what);
}

/// Kicks the first vCPU.
pub(super) fn kick(machine: &Machine) {
    let kicked = &machine.board.kick;
    let delivery = kicked.kick(Kicker::Vmm, Destination::from_a1(0));
    assert_eq!(delivery, Delivery::Delivered(1));
}

/// A file that goes away.
pub(super) struct TempFile(pub(super) PathBuf);

impl TempFile {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(env::temp_dir().join(format!("vmm-machine-{}-{next}", process::id())))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(super) fn word(memory: &GuestMemoryMmap, gpa: u64) -> u32 {
    memory.read_obj(GuestAddress(gpa)).unwrap()
}

pub(super) fn set_word(memory: &GuestMemoryMmap, gpa: u64, value: u32) {
    memory.write_obj(value, GuestAddress(gpa)).unwrap();
}

/// Waits until `is_so`, as long as the machine lives.
pub(super) fn wait_until(machine: &Machine, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(!machine.board.has_ended(), "{:?}", machine.board.ending);
        assert!(start.elapsed() < GIVE_UP_AFTER, "hangs");
        thread::yield_now();
    }
}

/// Waits until a vCPU is halted and no kick waits for it.
pub(super) fn wait_until_asleep(machine: &Machine, vcpu: usize) {
    wait_until(machine, || {
        let looks = PausedMachine::pause(machine).inspect();
        let looks = looks[vcpu].unwrap();
        looks.activity == Activity::Halted && !looks.pv_unhalted
    });
}

pub(super) fn copy_of(memory: &GuestMemoryMmap) -> GuestMemoryMmap {
    const PAGE: usize = 4096;
    let bytes = memory.last_addr().0 + 1;
    let copy = memory::map(MemorySize::from_bytes(bytes).unwrap()).unwrap();
    let mut page = [0; PAGE];
    for at in (0..bytes).step_by(PAGE) {
        memory.read_slice(&mut page, GuestAddress(at)).unwrap();
        if page != [0; PAGE] {
            copy.write_slice(&page, GuestAddress(at)).unwrap();
        }
    }
    copy
}

/// A machine as it would be in a file.
pub(super) struct Copy {
    pub(super) saved: SavedMachine,
    pub(super) memory: GuestMemoryMmap,
}

impl Copy {
    pub(super) fn of(paused: &PausedMachine<'_>) -> Self {
        Self {
            saved: SavedMachine::of(paused).unwrap(),
            memory: copy_of(&paused.machine().memory),
        }
    }

    /// A machine built for it, with memory of its own.
    pub(super) fn rebuilt(&self) -> Machine {
        rebuilt(&self.saved.description, copy_of(&self.memory))
    }

    /// The machine, standing still.
    pub(super) fn load<'m>(&self, machine: &'m mut Machine) -> PausedMachine<'m> {
        load(machine, self.saved.state.clone(), LOADING).unwrap().0
    }
}

pub(super) fn rebuilt(description: &Description, memory: GuestMemoryMmap) -> Machine {
    rebuild::rebuild(
        &host::open_kvm().unwrap(),
        description.clone(),
        memory,
        &HostSide::quiet(),
        None,
        Shortfalls::Refuse,
    )
    .unwrap()
}

/// Loads `state`; says how many kicks were given back.
pub(super) fn load(
    machine: &mut Machine,
    state: MachineState,
    loading: Loading,
) -> Result<(PausedMachine<'_>, u64), LoadError> {
    let paused = machine.start_paused().unwrap();
    let repaired = paused.load(state, loading)?;
    Ok((paused, repaired))
}

/// The machine's end.
pub(super) fn ending(machine: &Machine) -> Ending {
    let start = Instant::now();
    while !machine.board.has_ended() {
        assert!(start.elapsed() < GIVE_UP_AFTER, "hangs");
        thread::sleep(Duration::from_millis(1));
    }
    let mut ending = machine
        .board
        .ending
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    ending.take().unwrap()
}

/// The guest ends and says that every check it made held.
pub(super) fn assert_passes(machine: &Machine) {
    let ending = ending(machine);
    assert!(
        matches!(ending, Ending::Exit(Control::ExitPassed)),
        "{ending:?}"
    );
}
