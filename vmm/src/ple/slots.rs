//! The slots of a guest with the handshake: what it says of its CPUs, and what the host tells them.
//!
//! All of it is live guest memory. Every address is checked at every access, counts are those of
//! the machine, and what is read only ever decides who runs.

use std::mem::{offset_of, size_of};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use guest_payload::abi::handshake::{
    ADVICE_GIVE_BACK, ADVICE_HALT, ADVICE_NONE, Handshake, HandshakeSlot,
};
use vm_memory::{AtomicAccess, Bytes, GuestAddress, GuestMemoryMmap};

use super::handshake::Page;
use crate::sched::view::Said;

/// What the host tells a CPU that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    None,
    /// The holder of its lock is off its pCPU: halt at once.
    Halt,
    /// Its pCPU is lent: leave once outside all locks.
    GiveBack,
}

/// The slots of one guest, by vCPU.
#[derive(Debug)]
pub struct Slots {
    memory: GuestMemoryMmap,
    page_gpa: u64,
    /// APIC IDs in ascending order, with the vCPU of each.
    by_apic_id: Vec<(u32, usize)>,
    /// Where each vCPU's slot is, [`NOT_FOUND`] before the guest has said so. Relaxed: an address is
    /// all there is to hand over, and whoever misses it looks for himself.
    found: Vec<AtomicU64>,
}

/// No slot can be there: slots are aligned.
const NOT_FOUND: u64 = u64::MAX;

impl Slots {
    /// Of the guest whose handshake page is at `page_gpa`, with vCPUs of these APIC IDs.
    pub fn new(memory: GuestMemoryMmap, page_gpa: u64, apic_ids: &[u32]) -> Self {
        let mut by_apic_id: Vec<_> = apic_ids.iter().copied().zip(0..).collect();
        by_apic_id.sort_unstable();
        Self {
            memory,
            page_gpa,
            by_apic_id,
            found: apic_ids.iter().map(|_| AtomicU64::new(NOT_FOUND)).collect(),
        }
    }

    /// What the guest says of `vcpu`; `None` before it has said anything.
    pub fn said(&self, vcpu: usize) -> Option<Said> {
        self.said_in(self.slot(vcpu)?)
    }

    /// What the guest says of each vCPU. Looks for missing slots once, not for each: which are missing
    /// is the guest's choice.
    pub fn each_said(&self) -> impl Iterator<Item = Option<Said>> + '_ {
        if self
            .found
            .iter()
            .any(|slot| slot.load(Relaxed) == NOT_FOUND)
        {
            self.look();
        }
        self.found.iter().map(|slot| {
            let slot = slot.load(Relaxed);
            (slot != NOT_FOUND).then(|| self.said_in(slot)).flatten()
        })
    }

    fn said_in(&self, slot: u64) -> Option<Said> {
        Some(Said {
            // First: the guest stores the lock last, after the ticket.
            waiting_lock: self.load(slot, offset_of!(HandshakeSlot, waiting_lock))?,
            ticket: self.load(slot, offset_of!(HandshakeSlot, ticket))?,
            serving: self.load(slot, offset_of!(HandshakeSlot, serving))?,
            holding_lock: self.load(slot, offset_of!(HandshakeSlot, holding_lock))?,
        })
    }

    /// Tells `vcpu` something. Lost where the guest has no slot for it.
    pub fn advise(&self, vcpu: usize, advice: Advice) {
        let advice = match advice {
            Advice::None => ADVICE_NONE,
            Advice::Halt => ADVICE_HALT,
            Advice::GiveBack => ADVICE_GIVE_BACK,
        };
        self.store(vcpu, offset_of!(HandshakeSlot, advice), advice);
    }

    /// Sets the window of `vcpu`. Lost where the guest has no slot for it; it then begins with the
    /// window of the page.
    pub fn set_window(&self, vcpu: usize, pauses: u32) {
        self.store(vcpu, offset_of!(HandshakeSlot, window_pauses), pauses);
    }

    /// The vCPUs of which the guest says that they hold `lock`. A lock has one holder; a guest may
    /// name any number.
    pub fn holders_of(&self, lock: u64) -> impl Iterator<Item = usize> + '_ {
        let holds = move |said: &Said| lock != 0 && said.holding_lock == lock;
        let each = self.each_said().enumerate();
        each.filter_map(move |(vcpu, said)| said.filter(holds).map(|_| vcpu))
    }

    /// Where the slot of `vcpu` is.
    fn slot(&self, vcpu: usize) -> Option<u64> {
        let found = self.found.get(vcpu)?;
        if found.load(Relaxed) == NOT_FOUND {
            self.look();
        }
        Some(found.load(Relaxed)).filter(|&slot| slot != NOT_FOUND)
    }

    /// Looks through the slots that the guest offers, no more than there are vCPUs.
    fn look(&self) -> Option<()> {
        const ALIGN: u64 = align_of::<HandshakeSlot>() as u64;
        let page = Page {
            memory: &self.memory,
            gpa: self.page_gpa,
        };
        if !page.is_ours() {
            return None;
        }
        // Acquire pairs with the guest's Release: address and slots are there before the count.
        let count = page.field(offset_of!(Handshake, slot_count))?;
        let count: u32 = self.memory.load(count, Acquire).ok()?;
        let first = page.field(offset_of!(Handshake, slots_gpa))?;
        let first: u64 = self.memory.load(first, Acquire).ok()?;
        if !first.is_multiple_of(ALIGN) {
            return None;
        }
        for index in 0..u64::from(count).min(self.by_apic_id.len() as u64) {
            let slot = first.checked_add(index * size_of::<HandshakeSlot>() as u64)?;
            let apic_id: u32 = self.load(slot, offset_of!(HandshakeSlot, apic_id))?;
            let at = self
                .by_apic_id
                .binary_search_by_key(&apic_id, |&(id, _)| id);
            if let Ok(at) = at
                && let Some(found) = self
                    .by_apic_id
                    .get(at)
                    .and_then(|&(_, vcpu)| self.found.get(vcpu))
            {
                found.store(slot, Relaxed);
            }
        }
        Some(())
    }

    fn load<T: AtomicAccess>(&self, slot: u64, offset: usize) -> Option<T> {
        let at = slot.checked_add(offset as u64)?;
        // Acquire pairs with the guest's Release stores of its locks.
        self.memory.load(GuestAddress(at), Acquire).ok()
    }

    /// A write that nobody logs: a machine that is copied while it runs may lose it, and it is
    /// advice.
    fn store(&self, vcpu: usize, offset: usize, value: u32) {
        if let Some(slot) = self.slot(vcpu)
            && let Some(at) = slot.checked_add(offset as u64)
        {
            // What lies outside memory is the guest's own loss. Relaxed: it orders nothing.
            let _ = self.memory.store(value, GuestAddress(at), Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "slots_test.rs"]
mod tests;
