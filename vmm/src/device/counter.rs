//! The counting device: it shows that every access of a guest was served exactly once.
//!
//! On [`PORT_SEQUENCE`](guest_payload::abi::PORT_SEQUENCE) each vCPU writes 0, 1, 2, … and reads
//! 0, 1, 2, …. What is written twice or left out the device sees, what is read twice or rolled back
//! the guest. A snapshot keeps the guest's half in memory and registers and the device's half in
//! [`CounterState`]: if one is older than the other by a single access, somebody sees it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use guest_payload::sequence::{Arrival, Sequence};
use serde::{Deserialize, Serialize};

use crate::pv::apic_id::VcpuIndex;

/// Bytes of one access. Narrower ones find an empty port.
const ACCESS_BYTES: usize = 4;

/// One channel a vCPU.
#[derive(Debug)]
pub struct Counter {
    // Only its vCPU's thread uses a channel, so nobody waits here but for who looks at the counts.
    channels: Vec<Mutex<ChannelState>>,
}

/// What one vCPU has written and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    /// The number that the guest has to write next.
    pub next_write: u32,
    /// The number that the guest reads next.
    pub next_read: u32,
    /// Its counts.
    pub counts: IoCounts,
}

/// Accesses to the counting device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoCounts {
    /// Numbers written.
    pub writes: u64,
    /// Numbers read.
    pub reads: u64,
    /// Numbers that had been written before.
    pub duplicated: u64,
    /// Numbers left out.
    pub lost: u64,
}

/// The device's state, one entry a vCPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterState {
    /// By index of the vCPU.
    pub channels: Vec<ChannelState>,
}

/// Why a state cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A state of another machine.
    #[error(
        "the counting device's state has {saved} channels, this machine has {vcpus} vCPUs; \
         it was saved from another machine"
    )]
    OtherMachine {
        /// Channels of the state.
        saved: usize,
        /// vCPUs of this machine.
        vcpus: usize,
    },
}

impl ChannelState {
    fn write(&mut self, number: u32) {
        let mut due = Sequence::due(self.next_write);
        let counts = &mut self.counts;
        // Wrapping, here and below: a state may have been written by anybody.
        counts.writes = counts.writes.wrapping_add(1);
        match due.arrive(number) {
            Arrival::Due => {}
            Arrival::Again => counts.duplicated = counts.duplicated.wrapping_add(1),
            Arrival::Skipped(by) => counts.lost = counts.lost.wrapping_add(by.into()),
        }
        self.next_write = due.next();
    }

    fn read(&mut self) -> u32 {
        self.counts.reads = self.counts.reads.wrapping_add(1);
        let mut next = Sequence::due(self.next_read);
        let number = next.take();
        self.next_read = next.next();
        number
    }
}

impl IoCounts {
    fn plus(self, other: Self) -> Self {
        Self {
            writes: self.writes.saturating_add(other.writes),
            reads: self.reads.saturating_add(other.reads),
            duplicated: self.duplicated.saturating_add(other.duplicated),
            lost: self.lost.saturating_add(other.lost),
        }
    }
}

impl Counter {
    /// Channels for `vcpus` vCPUs, all at 0.
    pub fn new(vcpus: u32) -> Self {
        Self {
            channels: (0..vcpus).map(|_| Mutex::default()).collect(),
        }
    }

    fn channel(&self, vcpu: VcpuIndex) -> Option<MutexGuard<'_, ChannelState>> {
        let channel = self.channels.get(usize::try_from(vcpu.0).ok()?)?;
        Some(lock(channel))
    }

    /// OUT of the numbers in `data`; string output brings several.
    pub fn write(&self, vcpu: VcpuIndex, data: &[u8]) {
        let Some(mut channel) = self.channel(vcpu) else {
            return;
        };
        let (numbers, _) = data.as_chunks::<ACCESS_BYTES>();
        for number in numbers {
            channel.write(u32::from_le_bytes(*number));
        }
    }

    /// IN: the next numbers. What is left of `data` reads as an empty port.
    pub fn read(&self, vcpu: VcpuIndex, data: &mut [u8]) {
        data.fill(0xff);
        let Some(mut channel) = self.channel(vcpu) else {
            return;
        };
        let (numbers, _) = data.as_chunks_mut::<ACCESS_BYTES>();
        for number in numbers {
            *number = channel.read().to_le_bytes();
        }
    }

    /// All vCPUs' counts so far.
    pub fn counts(&self) -> IoCounts {
        self.channels
            .iter()
            .map(|channel| lock(channel).counts)
            .fold(IoCounts::default(), IoCounts::plus)
    }

    /// The state. No vCPU runs, and none has an access in flight: an IN that was answered counts here
    /// although its vCPU takes the answer over with its next `KVM_RUN` only.
    pub fn save(&self) -> CounterState {
        CounterState {
            channels: self.channels.iter().map(|channel| *lock(channel)).collect(),
        }
    }

    /// Goes on from `state`. No vCPU runs yet.
    ///
    /// # Errors
    /// [`RestoreError::OtherMachine`]; nothing has changed then.
    pub fn restore(&self, state: &CounterState) -> Result<(), RestoreError> {
        let (saved, vcpus) = (state.channels.len(), self.channels.len());
        if saved != vcpus {
            return Err(RestoreError::OtherMachine { saved, vcpus });
        }
        for (channel, state) in self.channels.iter().zip(&state.channels) {
            *lock(channel) = *state;
        }
        Ok(())
    }
}

/// A channel is whole between two of its numbers, so one whose thread panicked still counts.
fn lock(channel: &Mutex<ChannelState>) -> MutexGuard<'_, ChannelState> {
    channel.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "counter_test.rs"]
mod tests;
