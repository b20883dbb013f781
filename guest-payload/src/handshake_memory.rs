//! Memory for the handshake's slots, where the host has asked for any of it.

use core::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::handshake::HandshakeSlot;
use guest_payload::pv::Handshake;
use guest_payload::pv::handshake::{is_asked_for, publish};

use crate::arch::smp::{self, Memory};
use crate::shared::{HANDSHAKE, RESULTS};

/// Sets memory aside for the slots of `cpus` CPUs and shows them to the host. `None` if there is not
/// that much.
pub(crate) fn reserve(cpus: u32, memory: &mut Memory) -> Option<()> {
    if is_asked_for(&HANDSHAKE) {
        let gpa = memory.take(u64::from(cpus) * size_of::<HandshakeSlot>() as u64)?;
        publish(&HANDSHAKE, slots(gpa), gpa);
    }
    Some(())
}

/// The part of CPU `index`, which is up.
pub(crate) fn of(index: u32) -> Option<Handshake<'static>> {
    let gpa = HANDSHAKE.slots_gpa.load(Relaxed);
    if gpa == 0 {
        return None;
    }
    Handshake::new(&HANDSHAKE, slots(gpa), index as usize, smp::apic_id(index))
}

fn slots(gpa: u64) -> &'static [HandshakeSlot] {
    // SAFETY: `reserve` took this memory for a slot of each CPU and nothing else; zero is a valid
    // slot, and all that is shared of it is atomics.
    unsafe {
        core::slice::from_raw_parts(
            gpa as usize as *const HandshakeSlot,
            RESULTS.cpu_count.load(Relaxed) as usize,
        )
    }
}
