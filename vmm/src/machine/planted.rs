//! Breakpoints that a debugger has put into the guest's memory.
//!
//! Whoever else looks at that memory sees what was there before: the debugger itself, and a
//! snapshot, which lifts them ([`PausedMachine::lift_planted`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::pause::PausedMachine;
use crate::vcpu::debug::Trap;

/// What something is planted for. It stays until nothing needs it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A breakpoint in memory.
    Software,
    /// One in a debug register, which does not stop the guest everywhere.
    Hardware,
    /// A step.
    Step,
}

/// One linear address where something is planted.
#[derive(Debug)]
struct Place {
    gpa: u64,
    owners: BTreeSet<Owner>,
}

/// Where they are, and what was there.
#[derive(Debug, Default)]
pub struct Planted {
    /// By linear address.
    places: BTreeMap<u64, Place>,
    /// The byte before, by guest-physical address: several linear ones may lead there.
    before: BTreeMap<u64, u8>,
    trap: Trap,
}

impl Planted {
    /// What is planted from now on. While nothing is.
    pub fn use_trap(&mut self, trap: Trap) {
        self.trap = trap;
    }

    /// What is planted.
    pub fn trap(&self) -> Trap {
        self.trap
    }

    /// Puts one of `owner`'s at the linear address `linear`, which is at `gpa`. A second one at the
    /// same place is the same.
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn plant(
        &mut self,
        memory: &GuestMemoryMmap,
        linear: u64,
        gpa: u64,
        owner: Owner,
    ) -> Result<(), GuestMemoryError> {
        let mut owners = self.take(memory, linear).unwrap_or_default();
        if !self.before.contains_key(&gpa) {
            let before = memory.read_obj::<u8>(GuestAddress(gpa))?;
            memory.write_obj(self.trap.opcode(), GuestAddress(gpa))?;
            self.before.insert(gpa, before);
        }
        owners.insert(owner);
        self.places.insert(linear, Place { gpa, owners });
        Ok(())
    }

    /// Takes the one of `owner`'s at `linear` away; false where there is none.
    pub fn pull(&mut self, memory: &GuestMemoryMmap, linear: u64, owner: Owner) -> bool {
        let Some(place) = self.places.get_mut(&linear) else {
            return false;
        };
        let was_there = place.owners.remove(&owner);
        if place.owners.is_empty() {
            self.take(memory, linear);
        }
        was_there
    }

    /// Takes what is at `linear` away, whoever needs it.
    fn take(&mut self, memory: &GuestMemoryMmap, linear: u64) -> Option<BTreeSet<Owner>> {
        let Place { gpa, owners } = self.places.remove(&linear)?;
        if !self.places.values().any(|other| other.gpa == gpa)
            && let Some(before) = self.before.remove(&gpa)
        {
            replace(memory, gpa, self.trap.opcode(), before);
        }
        Some(owners)
    }

    /// Takes all away.
    pub fn pull_all(&mut self, memory: &GuestMemoryMmap) {
        self.places.clear();
        for (gpa, before) in std::mem::take(&mut self.before) {
            replace(memory, gpa, self.trap.opcode(), before);
        }
    }

    /// The linear addresses.
    pub fn addresses(&self) -> Arc<BTreeSet<u64>> {
        Arc::new(self.places.keys().copied().collect())
    }

    /// Reads memory as the guest made it.
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn read(
        &self,
        memory: &GuestMemoryMmap,
        gpa: u64,
        bytes: &mut [u8],
    ) -> Result<(), GuestMemoryError> {
        memory.read_slice(bytes, GuestAddress(gpa))?;
        for (at, byte) in (gpa..).zip(bytes) {
            // What the guest has written over it is the guest's.
            if *byte == self.trap.opcode()
                && let Some(before) = self.before.get(&at)
            {
                *byte = *before;
            }
        }
        Ok(())
    }

    /// Writes memory; what is planted stays, over what is written.
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn write(
        &mut self,
        memory: &GuestMemoryMmap,
        gpa: u64,
        bytes: &[u8],
    ) -> Result<(), GuestMemoryError> {
        memory.write_slice(bytes, GuestAddress(gpa))?;
        for (at, byte) in (gpa..).zip(bytes) {
            if let Some(before) = self.before.get_mut(&at) {
                *before = *byte;
                memory.write_obj(self.trap.opcode(), GuestAddress(at))?;
            }
        }
        Ok(())
    }
}

/// Writes `to` where `from` is; what the guest has written there meanwhile stays.
fn replace(memory: &GuestMemoryMmap, gpa: u64, from: u8, to: u8) -> bool {
    let is_there = memory
        .read_obj::<u8>(GuestAddress(gpa))
        .is_ok_and(|byte| byte == from);
    is_there && memory.write_obj(to, GuestAddress(gpa)).is_ok()
}

/// Memory without what is planted, until this is dropped.
#[derive(Debug)]
pub struct Lifted<'a> {
    planted: MutexGuard<'a, Planted>,
    memory: &'a GuestMemoryMmap,
    lifted: Vec<u64>,
}

impl PausedMachine<'_> {
    /// Takes what is planted out of memory for a while.
    #[must_use = "it is back when this is dropped"]
    pub fn lift_planted(&self) -> Lifted<'_> {
        let machine = self.machine();
        let planted = machine
            .planted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Lifted::new(planted, &machine.memory)
    }
}

impl<'a> Lifted<'a> {
    fn new(planted: MutexGuard<'a, Planted>, memory: &'a GuestMemoryMmap) -> Self {
        let trap = planted.trap.opcode();
        let lift = |(&gpa, &before): (&u64, &u8)| replace(memory, gpa, trap, before).then_some(gpa);
        let lifted = planted.before.iter().filter_map(lift).collect();
        Self {
            planted,
            memory,
            lifted,
        }
    }
}

impl Drop for Lifted<'_> {
    fn drop(&mut self) {
        let trap = self.planted.trap.opcode();
        for &gpa in &self.lifted {
            if let Some(&before) = self.planted.before.get(&gpa) {
                replace(self.memory, gpa, before, trap);
            }
        }
    }
}

#[cfg(test)]
#[path = "planted_test.rs"]
mod tests;
