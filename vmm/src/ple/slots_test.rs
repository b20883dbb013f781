use super::*;
use guest_payload::abi::handshake::{APIC_ID_NONE, HANDSHAKE_MAGIC, HANDSHAKE_VERSION};

use crate::memory::{self, MemorySize};

const MEMORY_BYTES: u64 = 2 << 20;
const PAGE: u64 = 0x1000;
const SLOTS: u64 = 0x8000;
const SLOT_BYTES: u64 = size_of::<HandshakeSlot>() as u64;
const LOCK: u64 = 0x12_3400;

/// A guest's memory, written as a guest would or as it should not.
struct Guest(GuestMemoryMmap);

impl Guest {
    fn new() -> Self {
        let guest = Self(memory::map(MemorySize::from_mib(2)).unwrap());
        guest.page64(offset_of!(Handshake, magic), HANDSHAKE_MAGIC);
        guest.page32(offset_of!(Handshake, version), HANDSHAKE_VERSION);
        guest
    }

    /// With slots of CPUs with these APIC IDs.
    fn with_slots(apic_ids: &[u32]) -> Self {
        let guest = Self::new();
        for (cpu, id) in (0..).zip(apic_ids) {
            guest.slot32(cpu, offset_of!(HandshakeSlot, apic_id), *id);
        }
        guest.publish(SLOTS, u32::try_from(apic_ids.len()).unwrap());
        guest
    }

    fn publish(&self, gpa: u64, count: u32) {
        self.page64(offset_of!(Handshake, slots_gpa), gpa);
        self.page32(offset_of!(Handshake, slot_count), count);
    }

    fn page32(&self, offset: usize, value: u32) {
        let at = GuestAddress(PAGE + offset as u64);
        self.0.write_obj(value, at).unwrap();
    }

    fn page64(&self, offset: usize, value: u64) {
        let at = GuestAddress(PAGE + offset as u64);
        self.0.write_obj(value, at).unwrap();
    }

    fn slot_at(cpu: u64, offset: usize) -> GuestAddress {
        GuestAddress(SLOTS + cpu * SLOT_BYTES + offset as u64)
    }

    fn slot32(&self, cpu: u64, offset: usize, value: u32) {
        self.0.write_obj(value, Self::slot_at(cpu, offset)).unwrap();
    }

    fn slot64(&self, cpu: u64, offset: usize, value: u64) {
        self.0.write_obj(value, Self::slot_at(cpu, offset)).unwrap();
    }

    fn read32(&self, cpu: u64, offset: usize) -> u32 {
        self.0.read_obj(Self::slot_at(cpu, offset)).unwrap()
    }

    fn slots(&self, apic_ids: &[u32]) -> Slots {
        Slots::new(self.0.clone(), PAGE, apic_ids)
    }
}

#[test]
fn a_vcpu_is_found_by_its_apic_id_whatever_the_order() {
    // The guest's boot CPU is the second vCPU, and its third CPU is not up.
    let guest = Guest::with_slots(&[300, 0, APIC_ID_NONE]);
    let slots = guest.slots(&[0, 300, 5]);
    guest.slot64(0, offset_of!(HandshakeSlot, waiting_lock), LOCK);
    guest.slot32(0, offset_of!(HandshakeSlot, ticket), 8);
    guest.slot32(0, offset_of!(HandshakeSlot, serving), 6);
    guest.slot64(1, offset_of!(HandshakeSlot, holding_lock), LOCK);

    let waiter = Said {
        waiting_lock: LOCK,
        ticket: 8,
        serving: 6,
        holding_lock: 0,
    };
    assert_eq!(slots.said(1), Some(waiter));
    assert_eq!(slots.said(0).map(|said| said.holding_lock), Some(LOCK));
    assert_eq!(slots.said(2), None);
    assert_eq!(slots.said(3), None);
    let each: Vec<_> = slots.each_said().collect();
    assert_eq!(each, [slots.said(0), Some(waiter), None]);
    assert_eq!(slots.holders_of(LOCK).collect::<Vec<_>>(), [0]);
    // Nobody holds no lock.
    assert_eq!(slots.holders_of(0).count(), 0);
}

#[test]
fn what_is_said_is_read_anew_each_time() {
    let guest = Guest::with_slots(&[0]);
    let slots = guest.slots(&[0]);
    assert_eq!(slots.said(0), Some(Said::default()));
    guest.slot64(0, offset_of!(HandshakeSlot, holding_lock), LOCK);
    assert_eq!(slots.said(0).unwrap().holding_lock, LOCK);
}

#[test]
fn a_guest_that_offers_its_slots_late_is_found_then() {
    let guest = Guest::with_slots(&[APIC_ID_NONE]);
    guest.publish(0, 0);
    let slots = guest.slots(&[0]);
    assert_eq!(slots.said(0), None);
    slots.advise(0, Advice::Halt);
    guest.publish(SLOTS, 1);
    assert_eq!(slots.said(0), None);
    guest.slot32(0, offset_of!(HandshakeSlot, apic_id), 0);
    assert!(slots.said(0).is_some());
}

#[test]
fn advice_and_windows_reach_their_vcpu_alone() {
    let guest = Guest::with_slots(&[7, 9]);
    let slots = guest.slots(&[9, 7]);
    let (advice, window) = (
        offset_of!(HandshakeSlot, advice),
        offset_of!(HandshakeSlot, window_pauses),
    );
    slots.advise(0, Advice::Halt);
    slots.set_window(1, 256);
    assert_eq!(guest.read32(1, advice), ADVICE_HALT);
    assert_eq!(guest.read32(0, advice), ADVICE_NONE);
    assert_eq!((guest.read32(0, window), guest.read32(1, window)), (256, 0));
    slots.advise(0, Advice::None);
    assert_eq!(guest.read32(1, advice), ADVICE_NONE);
}

#[test]
fn a_page_that_is_none_of_ours_says_nothing() {
    for (offset, value) in [
        (offset_of!(Handshake, magic), 0),
        (offset_of!(Handshake, version), HANDSHAKE_VERSION + 1),
    ] {
        let guest = Guest::with_slots(&[0]);
        guest.page32(offset, value);
        assert_eq!(guest.slots(&[0]).said(0), None);
    }
    let guest = Guest::with_slots(&[0]);
    for gpa in [MEMORY_BYTES, u64::MAX, u64::MAX - 8, PAGE + 1] {
        let slots = Slots::new(guest.0.clone(), gpa, &[0]);
        assert_eq!(slots.said(0), None, "{gpa:#x}");
        slots.advise(0, Advice::Halt);
    }
}

#[test]
fn a_hostile_guest_gets_no_further_than_its_own_memory() {
    let outside = [
        MEMORY_BYTES,
        MEMORY_BYTES - 32,
        1 << 63,
        u64::MAX - 63,
        // Misaligned.
        SLOTS + 4,
        SLOTS + 32,
    ];
    for gpa in outside {
        let guest = Guest::with_slots(&[APIC_ID_NONE]);
        guest.publish(gpa, u32::MAX);
        let slots = guest.slots(&[0, 1, 2, 3]);
        for vcpu in 0..4 {
            assert_eq!(slots.said(vcpu), None, "{gpa:#x}");
            slots.advise(vcpu, Advice::Halt);
            slots.set_window(vcpu, 1);
        }
        assert_eq!(slots.holders_of(LOCK).count(), 0);
    }
}

#[test]
fn missing_slots_are_looked_for_once_and_not_by_each_vcpu() {
    let guest = Guest::with_slots(&[APIC_ID_NONE, APIC_ID_NONE]);
    let slots = guest.slots(&[0, 1]);
    let mut each = slots.each_said();
    assert_eq!(each.next(), Some(None));
    guest.slot32(1, offset_of!(HandshakeSlot, apic_id), 1);
    assert_eq!(each.next(), Some(None), "too late for this time");
    assert!(slots.each_said().any(|said| said.is_some()));
}

#[test]
fn no_more_slots_are_looked_through_than_there_are_vcpus() {
    let guest = Guest::with_slots(&[APIC_ID_NONE, APIC_ID_NONE, 1]);
    guest.publish(SLOTS, u32::MAX);
    let slots = guest.slots(&[0, 1]);
    assert_eq!(slots.said(1), None);
}

#[test]
fn a_slot_stays_where_it_was_found() {
    let guest = Guest::with_slots(&[0]);
    let slots = guest.slots(&[0]);
    assert!(slots.said(0).is_some());
    guest.publish(u64::MAX, u32::MAX);
    guest.slot32(0, offset_of!(HandshakeSlot, apic_id), 5);
    assert!(slots.said(0).is_some());
}
