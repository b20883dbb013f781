//! Arbitrary bytes as what a guest has in memory and as its Xen hypercalls: every call is answered,
//! and what is saved afterwards can be loaded.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm::memory::{self, MemorySize, OwnWrites};
use vmm::pv::apic_id::{ApicIds, ApicMode, BroadcastQuirk, VcpuIndex};
use vmm::pv::hypercall::{CallerMode, Privilege};
use vmm::pv::kick::{KickService, Unhalted, Waker};
use vmm::pv::recorder::Tracer;
use vmm::pv::xen::{Call, CallerMemory, Fault, HypercallsBy, Outcome, Xen};

const VCPUS: u32 = 5;
/// Number, operation, address.
const CALL_BYTES: usize = 12;

#[derive(Debug)]
struct Nobody;

impl Waker for Nobody {
    fn unhalt(&self, _: VcpuIndex, _: u32) -> Unhalted {
        Unhalted::WasRunning
    }

    fn apic_mode(&self, _: VcpuIndex) -> ApicMode {
        ApicMode::X2Apic
    }
}

/// Guest memory, identity mapped.
struct Identity<'a>(&'a GuestMemoryMmap);

impl CallerMemory for Identity<'_> {
    fn read(&self, linear: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.0
            .read_slice(bytes, GuestAddress(linear))
            .map_err(|_| Fault)
    }

    fn write(&self, linear: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.0
            .write_slice(bytes, GuestAddress(linear))
            .map_err(|_| Fault)
    }
}

fuzz_target!(|data: &[u8]| {
    // The calls come first, then what the guest has at 0.
    let (calls, content) = data.split_at(data.len().min(CALL_BYTES * 32));
    let memory = memory::map(MemorySize::from_mib(2)).expect("2 MiB");
    let _ = memory.write_slice(content, GuestAddress(0));
    let xen = Xen::new(VCPUS, memory.clone(), Arc::new(OwnWrites::default()));
    let ids = ApicIds::new(0..VCPUS, BroadcastQuirk::Enabled).expect("five IDs");
    let kick = KickService::new(
        (0..VCPUS).collect(),
        ids,
        Box::new(Nobody),
        None,
        Tracer::off(),
    );
    for call in calls.chunks_exact(CALL_BYTES) {
        let word =
            |at: usize| u32::from_le_bytes([call[at], call[at + 1], call[at + 2], call[at + 3]]);
        let (number, operation, at) = (word(0), word(4), word(8));
        if number == u32::MAX {
            let _ = xen.fill_hypercall_page(u64::from(at), HypercallsBy::Port);
            continue;
        }
        let call = Call {
            number: number.into(),
            arguments: [operation.into(), at.into(), 0],
        };
        let by = VcpuIndex(operation % VCPUS);
        let (mode, privilege) = (CallerMode::Bits64, Privilege::Allowed);
        let outcome = xen.hypercall(&call, mode, privilege, by, &Identity(&memory), &kick);
        if let Outcome::Answer(answer) = outcome {
            assert!((-38..=0).contains(&answer) || answer == 4096 || answer == 0x4_0011);
        }
    }
    xen.load(&xen.save()).expect("what was saved can be loaded");
});
