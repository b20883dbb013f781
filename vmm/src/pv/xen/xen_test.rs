#[path = "xen_test/events.rs"]
mod events;
#[path = "xen_test/kept.rs"]
mod kept;

use std::cell::RefCell;
use std::sync::Mutex;

use guest_payload::abi::xen::SharedInfo;
use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::memory::{self, MemorySize};
use crate::pv::apic_id::{ApicIds, ApicMode, BroadcastQuirk};
use crate::pv::hypercall::{CallerMode, Privilege};
use crate::pv::kick::{Unhalted, Waker};

const VCPUS: u32 = 3;

const PAGE: u64 = 0x10_0000;

/// Where the callers keep their arguments.
const AT: u64 = 0x5000;

/// A number of this test's own, which fits.
fn low(number: u64) -> u32 {
    u32::try_from(number).unwrap()
}

/// Notes who is unhalted.
#[derive(Debug, Default)]
struct Unhalts(Arc<Mutex<Vec<u32>>>);

impl Waker for Unhalts {
    fn unhalt(&self, vcpu: VcpuIndex, _: u32) -> Unhalted {
        self.0.lock().unwrap().push(vcpu.0);
        Unhalted::WasHalted
    }

    fn apic_mode(&self, _: VcpuIndex) -> ApicMode {
        ApicMode::X2Apic
    }
}

/// A caller's memory: as long as it is, from [`AT`].
struct Arguments(RefCell<Vec<u8>>);

impl Arguments {
    fn words(words: &[u32]) -> Self {
        Self(RefCell::new(
            words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        ))
    }

    fn word(&self, index: usize) -> u32 {
        let bytes = self.0.borrow();
        u32::from_le_bytes(bytes[4 * index..][..4].try_into().unwrap())
    }

    fn range(&self, linear: u64, bytes: usize) -> Result<std::ops::Range<usize>, Fault> {
        let from = usize::try_from(linear.checked_sub(AT).ok_or(Fault)?).map_err(|_| Fault)?;
        let to = from.checked_add(bytes).ok_or(Fault)?;
        (to <= self.0.borrow().len())
            .then_some(from..to)
            .ok_or(Fault)
    }
}

impl CallerMemory for Arguments {
    fn read(&self, linear: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let range = self.range(linear, bytes.len())?;
        bytes.copy_from_slice(&self.0.borrow()[range]);
        Ok(())
    }

    fn write(&self, linear: u64, bytes: &[u8]) -> Result<(), Fault> {
        let range = self.range(linear, bytes.len())?;
        self.0.borrow_mut()[range].copy_from_slice(bytes);
        Ok(())
    }
}

/// Xen's side of a machine with 2 MiB, whose vCPUs only note that they were kicked.
struct Machine {
    xen: Xen,
    kick: KickService,
    kicked: Arc<Mutex<Vec<u32>>>,
    memory: GuestMemoryMmap,
    own_writes: Arc<OwnWrites>,
}

impl Machine {
    fn new() -> Self {
        let kicked = Arc::default();
        let waker = Box::new(Unhalts(Arc::clone(&kicked)));
        let ids = ApicIds::new(0..VCPUS, BroadcastQuirk::Enabled).unwrap();
        let memory = memory::map(MemorySize::from_mib(2)).unwrap();
        let own_writes = Arc::new(OwnWrites::default());
        Self {
            xen: Xen::new(VCPUS, memory.clone(), Arc::clone(&own_writes)),
            kick: KickService::new(
                (0..VCPUS).collect(),
                ids,
                waker,
                None,
                crate::pv::recorder::Tracer::off(),
            ),
            kicked,
            memory,
            own_writes,
        }
    }

    /// With a shared info page whose events are all masked, as Linux does it.
    fn mapped() -> Self {
        let machine = Self::new();
        let place = [0x7ff0, 0, 0, 0, low(PAGE >> 12), 0];
        assert_eq!(machine.ask(12, 7, &place), 0);
        for word in 0..64 {
            machine.set(
                std::mem::offset_of!(SharedInfo, evtchn_mask) + 8 * word,
                u64::MAX,
            );
        }
        machine
    }

    fn call(&self, number: u32, operation: u64, arguments: &Arguments) -> Outcome {
        self.xen.hypercall(
            &Call {
                number: number.into(),
                arguments: [operation, AT, 0],
            },
            CallerMode::Bits64,
            Privilege::Allowed,
            VcpuIndex(1),
            arguments,
            &self.kick,
        )
    }

    /// The answer to a call with these words for its structure.
    fn ask(&self, number: u32, operation: u64, words: &[u32]) -> i64 {
        match self.call(number, operation, &Arguments::words(words)) {
            Outcome::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn bind(&self, vcpu: u32) -> u32 {
        let arguments = Arguments::words(&[vcpu, 0]);
        assert_eq!(self.call(32, 7, &arguments), Outcome::Answer(0));
        arguments.word(1)
    }

    /// SCHEDOP_poll for these ports, whose list is behind the structure.
    fn poll(&self, ports: &[u32]) -> Outcome {
        let list = low(AT + 24);
        let mut words = vec![list, 0, low(ports.len() as u64), 0, 0, 0];
        words.extend(ports);
        self.call(29, 3, &Arguments::words(&words))
    }

    fn kicked(&self) -> Vec<u32> {
        std::mem::take(&mut self.kicked.lock().unwrap())
    }

    fn get(&self, offset: usize) -> u64 {
        self.memory
            .read_obj(GuestAddress(PAGE + offset as u64))
            .unwrap()
    }

    fn set(&self, offset: usize, value: u64) {
        let at = GuestAddress(PAGE + offset as u64);
        self.memory.write_obj(value, at).unwrap();
    }

    fn pending(&self) -> u64 {
        self.get(std::mem::offset_of!(SharedInfo, evtchn_pending))
    }

    fn forget_pending(&self) {
        self.set(std::mem::offset_of!(SharedInfo, evtchn_pending), 0);
    }
}

/// What each call answers, as `docs/reference/xen.md` lists it. DOMID_SELF is 0x7ff0.
#[test]
fn every_call_answers_as_the_table_says() {
    let machine = Machine::mapped();
    assert_eq!([machine.bind(0), machine.bind(2)], [1, 2]);
    type Row = (&'static str, u32, u64, &'static [u32], i64);
    let table: &[Row] = &[
        ("send", 32, 4, &[1], 0),
        ("send to a port of nobody's", 32, 4, &[3], -22),
        ("send to port 0", 32, 4, &[0], -22),
        ("send past the last port", 32, 4, &[4096], -22),
        ("send without an argument", 32, 4, &[], -14),
        ("close", 32, 3, &[2], 0),
        ("close again", 32, 3, &[2], -22),
        ("close past the last port", 32, 3, &[u32::MAX], -22),
        ("status of a bound port", 32, 5, &[0x7ff0, 1, 0, 0, 0, 0], 0),
        ("status of another domain", 32, 5, &[7, 1, 0, 0, 0, 0], -3),
        (
            "status past the last port",
            32,
            5,
            &[0x7ff0, 4096, 0, 0, 0, 0],
            -22,
        ),
        ("unmask", 32, 9, &[1], 0),
        ("unmask past the last port", 32, 9, &[4096], -22),
        ("bind_ipi of a vCPU that is not there", 32, 7, &[3, 0], -2),
        ("bind_virq", 32, 1, &[0, 0, 0], -38),
        ("alloc_unbound", 32, 6, &[0, 0, 0], -38),
        ("init_control (FIFO)", 32, 11, &[0, 0, 0, 0], -38),
        ("poll with a time", 29, 3, &[0, 0, 0, 0, 1, 0], -38),
        ("poll for 129 ports", 29, 3, &[0, 0, 129, 0, 0, 0], -22),
        (
            "poll for ports that are nowhere",
            29,
            3,
            &[1, 0, 1, 0, 0, 0],
            -14,
        ),
        ("block", 29, 1, &[], -38),
        ("shutdown", 29, 2, &[0], -38),
        (
            "add another domain's page",
            12,
            7,
            &[0, 0, 0, 0, 0x100, 0],
            -3,
        ),
        (
            "add a second shared info page",
            12,
            7,
            &[0x7ff0, 0, 1, 0, 0x100, 0],
            -22,
        ),
        (
            "add a grant table",
            12,
            7,
            &[0x7ff0, 1, 0, 0, 0x100, 0],
            -38,
        ),
        (
            "add where no RAM is",
            12,
            7,
            &[0x7ff0, 0, 0, 0, 0x200, 0],
            -22,
        ),
        (
            "add past all addresses",
            12,
            7,
            &[0x7ff0, 0, 0, 0, 0, u32::MAX],
            -22,
        ),
        ("another memory_op", 12, 6, &[0; 6], -38),
        ("set the callback", 34, 0, &[0x7ff0, 0, 0xf3, 0x200_0000], 0),
        ("set another parameter", 34, 0, &[0x7ff0, 1, 0, 0], -22),
        ("set another domain's", 34, 0, &[0, 0, 0, 0], -3),
        ("another hvm_op", 34, 23, &[0; 4], -38),
        ("version", 17, 0, &[], 0x4_0011),
        ("extraversion", 17, 1, &[0; 4], 0),
        ("extraversion to nowhere", 17, 1, &[0; 3], -14),
        ("features", 17, 6, &[0, 0], 0),
        ("features that are not there", 17, 6, &[1, 0], -22),
        ("page size", 17, 7, &[], 4096),
        ("capabilities", 17, 3, &[], -38),
        ("iret", 23, 0, &[], -38),
        ("a hypercall past the page", 128, 0, &[], -38),
        ("a hypercall of the past", 0, 0, &[], -38),
    ];
    for (what, number, operation, words, answer) in table {
        // What wraps to -22 and so on is told apart from numbers.
        assert_eq!(machine.ask(*number, *operation, words), *answer, "{what}");
    }
}

#[test]
fn high_halves_of_numbers_do_not_make_other_calls() {
    let machine = Machine::mapped();
    let call = |number, operation| {
        let arguments = [operation, AT, 0];
        let memory = Arguments::words(&[]);
        machine.xen.hypercall(
            &Call { number, arguments },
            CallerMode::Bits64,
            Privilege::Allowed,
            VcpuIndex(0),
            &memory,
            &machine.kick,
        )
    };
    assert_eq!(call(1 << 32 | 17, 0), Outcome::Answer(-38));
    assert_eq!(call(17, 1 << 32), Outcome::Answer(0x4_0011));
}

#[test]
fn only_64_bit_code_that_may_is_served() {
    let machine = Machine::mapped();
    let ask = |mode, privilege| {
        let call = Call {
            number: 17,
            arguments: [0; 3],
        };
        let memory = Arguments::words(&[]);
        let vcpu = VcpuIndex(0);
        let xen = &machine.xen;
        xen.hypercall(&call, mode, privilege, vcpu, &memory, &machine.kick)
    };
    let denied = ask(CallerMode::Bits64, Privilege::Denied);
    assert_eq!(denied, Outcome::Answer(-1));
    let in_32_bits = ask(CallerMode::Bits32, Privilege::Allowed);
    assert_eq!(in_32_bits, Outcome::Answer(-38));
}

proptest! {
    /// Whatever a guest calls, with whatever in its memory: an answer, and nothing else happens.
    #[test]
    fn hostile_calls_are_answered(
        calls in prop::collection::vec(
            (
                prop_oneof![Just(12_u64), Just(17), Just(29), Just(32), Just(34), any::<u64>()],
                prop_oneof![0_u64..16, any::<u64>()],
                prop_oneof![Just(AT), AT..AT + 64, any::<u64>()],
                prop::collection::vec(
                    prop_oneof![0_u32..8, Just(0x7ff0), 0x100_u32..0x210, any::<u32>()],
                    0..8,
                ),
            ),
            1..40,
        ),
    ) {
        let machine = Machine::mapped();
        for (number, operation, at, words) in calls {
            let memory = Arguments::words(&words);
            let outcome = machine.xen.hypercall(
                &Call { number, arguments: [operation, at, 0] },
                CallerMode::Bits64,
                Privilege::Allowed,
                VcpuIndex(2),
                &memory,
                &machine.kick,
            );
            if let Outcome::Answer(answer) = outcome {
                prop_assert!((-38..=0).contains(&answer) || matches!(answer, 4096 | 0x4_0011));
            }
        }
        // What was saved of it can be loaded: no call made a state that none has.
        let saved = machine.xen.save();
        machine.xen.load(&saved).unwrap();
    }
}
