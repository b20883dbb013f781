//! Arbitrary accesses to ports and to memory that is not RAM, with input, breaks, saving and
//! restoring in between. Whatever the guest does, a device answers, keeps no more than its share,
//! and can be saved and restored.
#![no_main]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use vmm::device::DeviceSet;
use vmm::device::counter::Counter;
use vmm::device::pc::{PcDevices, PcState, PcWiring};
use vmm::device::ports::Ports;
use vmm::device::serial::{Output, SerialPort, Wait};
use vmm::device::serial_input::INPUT_BYTES_AT_ONCE;
use vmm::device::wires::{Level, Wires};
use vmm::memory::MemorySize;

/// Ports that devices have, so that most accesses find one.
const PORTS: [u16; 24] = [
    0x60, 0x64, 0x70, 0x71, 0xe0, 0xe3, 0xe4, 0xe8, 0xf4, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd,
    0x505, 0x510, 0x511, 0x600, 0x604, 0x608, 0x60b, 0xcf9, 0x2005,
];
/// More than any device answers in one access, and than KVM brings in one exit: a page.
const ACCESS_BYTES_MAX: usize = 4096;
/// A move copies all of the test device's memory.
const MOVES_MAX: usize = 16;
/// A state is a few hundred bytes, the test device's memory, and what waits for the guest.
const STATE_BYTES_MAX: usize = 2 * 0x1_0000 + 4096;

#[derive(Arbitrary, Debug)]
enum Step {
    KnownPort {
        port: u8,
        write: bool,
        data: Vec<u8>,
    },
    Port {
        port: u16,
        write: bool,
        data: Vec<u8>,
    },
    Memory {
        address: u64,
        write: bool,
        data: Vec<u8>,
    },
    TestMemory {
        offset: u16,
        write: bool,
        data: Vec<u8>,
    },
    Input(Vec<u8>),
    Break,
    Time {
        ns: u64,
    },
    Move,
    /// A state that somebody wrote: refused, or taken and then as good as any.
    Hostile(Vec<u8>),
}

#[derive(Debug, Default)]
struct Clocks(AtomicU64);

impl Wires for Clocks {
    fn set_line(&self, line: u32, _: Level) {
        assert!(line < 24);
    }
    fn uptime(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }
    fn time_of_day(&self) -> Duration {
        self.uptime()
    }
    fn forget_page(&self, gpa: u64) {
        assert_eq!(gpa % 4096, 0);
    }
}

fn ports(set: DeviceSet, ns: u64) -> Ports {
    let pc = PcDevices::new(PcWiring {
        set,
        vcpus: 3,
        memory: MemorySize::from_mib(4096),
        wires: Box::new(Clocks(ns.into())),
    });
    Ports {
        serial: SerialPort::new(Output::Null).expect("no descriptor is needed"),
        counter: Counter::new(1),
        pc: Some(pc),
    }
}

fn access(write: bool, data: &mut Vec<u8>, act: impl FnOnce(bool, &mut [u8])) {
    data.truncate(ACCESS_BYTES_MAX);
    act(write, data);
}

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (is_test_image, steps) = input;
    let set = match is_test_image {
        true => DeviceSet::TestImage,
        false => DeviceSet::Pc,
    };
    let (mut now, mut moves) = (0, 0);
    let mut machine = ports(set, now);
    let port_access = |machine: &Ports, port: u16, write: bool, data: &mut [u8]| match write {
        true => drop(machine.write(port, data, || Wait::Over)),
        false => machine.read(port, data),
    };
    let memory_access = |machine: &Ports, address: u64, write: bool, data: &mut [u8]| match write {
        true => machine.mmio_write(address, data),
        false => machine.mmio_read(address, data),
    };
    for step in steps {
        match step {
            Step::KnownPort {
                port,
                write,
                mut data,
            } => access(write, &mut data, |write, data| {
                let port = PORTS[usize::from(port) % PORTS.len()];
                port_access(&machine, port, write, data);
            }),
            Step::Port {
                port,
                write,
                mut data,
            } => access(write, &mut data, |write, data| {
                port_access(&machine, port, write, data);
            }),
            Step::Memory {
                address,
                write,
                mut data,
            } => access(write, &mut data, |write, data| {
                memory_access(&machine, address, write, data);
            }),
            Step::TestMemory {
                offset,
                write,
                mut data,
            } => {
                access(write, &mut data, |write, data| {
                    memory_access(&machine, 0xff00_0000 + u64::from(offset), write, data);
                });
            }
            Step::Input(mut bytes) => {
                bytes.truncate(INPUT_BYTES_AT_ONCE);
                machine.serial.receive(&bytes);
            }
            Step::Break => machine.serial.receive_break(),
            Step::Time { ns } => now = ns,
            Step::Move => {
                moves += 1;
                if moves > MOVES_MAX {
                    continue;
                }
                let next = ports(set, now);
                let state = machine.save_pc().expect("a PC");
                let bytes = postcard::to_stdvec(&state).expect("a state");
                assert!(bytes.len() < STATE_BYTES_MAX, "{}", bytes.len());
                let state: PcState = postcard::from_bytes(&bytes).expect("the same state");
                next.serial
                    .restore(&machine.serial.save())
                    .expect("a port's state");
                next.restore_pc(&state).expect("a state of such devices");
                // Bytes for the guest may have gone on into its receiver; nothing else moves.
                let again = next.save_pc().expect("a PC");
                let room = postcard::to_stdvec(&again).expect("a state").len();
                assert!(room <= bytes.len());
                machine = next;
            }
            Step::Hostile(bytes) => {
                if let Ok(state) = postcard::from_bytes::<PcState>(&bytes) {
                    let _ = machine.restore_pc(&state);
                }
            }
        }
    }
});
