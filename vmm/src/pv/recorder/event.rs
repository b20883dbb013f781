//! What is recorded of kicks, halts and wake-ups, and how it lies in a ring.

use super::ring::Words;
use crate::pv::apic_id::VcpuIndex;
use crate::pv::kick::Fate;

/// Something that happened on the host, on one vCPU's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostEvent {
    /// The host's TSC.
    pub tsc: u64,
    /// What.
    pub what: HostStep,
}

/// What can happen on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostStep {
    /// The vCPU's kick arrived.
    Kick {
        /// Its number, from 1, in the order of arrival at the VMM.
        number: u64,
        /// The APIC destination it names.
        destination: u32,
    },
    /// The kick was handed to one of its targets.
    Unhalt {
        /// The kick's number.
        number: u64,
        /// The target.
        target: VcpuIndex,
        /// What it met.
        fate: Fate,
        /// The host's TSC when that was done.
        done: u64,
    },
    /// The vCPU halts, with the VMM's knowledge.
    Halted,
    /// Its thread came back from where it was parked: it was kicked (`--halt vmm`).
    Woke,
    /// It enters the guest for the first time since it woke.
    Runs,
    /// It left the guest for the first time since it was unhalted in KVM: it has run by now.
    Seen,
}

/// Kinds, in the low byte of the second word.
const KICK: u64 = 0;
const UNHALT: u64 = 1;
const HALTED: u64 = 2;
const WOKE: u64 = 3;
const RUNS: u64 = 4;
const SEEN: u64 = 5;

fn fate_code(fate: Fate) -> u64 {
    match fate {
        Fate::ToHalted => 0,
        Fate::ToRunning => 1,
        Fate::WaitingForSipi => 2,
        Fate::NotAccepted => 3,
        Fate::Dropped => 4,
        Fate::Swallowed => 5,
        Fate::Misrouted => 6,
        Fate::Delayed => 7,
    }
}

fn fate_of(code: u64) -> Option<Fate> {
    Some(match code {
        0 => Fate::ToHalted,
        1 => Fate::ToRunning,
        2 => Fate::WaitingForSipi,
        3 => Fate::NotAccepted,
        4 => Fate::Dropped,
        5 => Fate::Swallowed,
        6 => Fate::Misrouted,
        7 => Fate::Delayed,
        _ => return None,
    })
}

impl HostEvent {
    /// As it lies in a ring.
    pub(super) fn to_words(self) -> Words {
        let (tag, number, done) = match self.what {
            HostStep::Kick {
                number,
                destination,
            } => (KICK | u64::from(destination) << 32, number, 0),
            HostStep::Unhalt {
                number,
                target,
                fate,
                done,
            } => (
                UNHALT | fate_code(fate) << 8 | u64::from(target.0) << 32,
                number,
                done,
            ),
            HostStep::Halted => (HALTED, 0, 0),
            HostStep::Woke => (WOKE, 0, 0),
            HostStep::Runs => (RUNS, 0, 0),
            HostStep::Seen => (SEEN, 0, 0),
        };
        [self.tsc, tag, number, done]
    }

    /// From a ring.
    pub(super) fn from_words([tsc, tag, number, done]: Words) -> Option<Self> {
        let high = u32::try_from(tag >> 32).unwrap_or(u32::MAX);
        let what = match tag & 0xff {
            KICK => HostStep::Kick {
                number,
                destination: high,
            },
            UNHALT => HostStep::Unhalt {
                number,
                target: VcpuIndex(high),
                fate: fate_of(tag >> 8 & 0xff)?,
                done,
            },
            HALTED => HostStep::Halted,
            WOKE => HostStep::Woke,
            RUNS => HostStep::Runs,
            SEEN => HostStep::Seen,
            _ => return None,
        };
        Some(Self { tsc, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_into_a_ring_comes_out() {
        let unhalt = |fate| HostStep::Unhalt {
            number: u64::MAX,
            target: VcpuIndex(u32::MAX),
            fate,
            done: 9,
        };
        let steps = [
            HostStep::Kick {
                number: 7,
                destination: 0xffff_ffff,
            },
            unhalt(Fate::ToHalted),
            unhalt(Fate::ToRunning),
            unhalt(Fate::WaitingForSipi),
            unhalt(Fate::NotAccepted),
            unhalt(Fate::Dropped),
            unhalt(Fate::Swallowed),
            unhalt(Fate::Misrouted),
            unhalt(Fate::Delayed),
            HostStep::Halted,
            HostStep::Woke,
            HostStep::Runs,
            HostStep::Seen,
        ];
        for what in steps {
            let event = HostEvent { tsc: 1 << 63, what };
            assert_eq!(HostEvent::from_words(event.to_words()), Some(event));
        }
        assert_eq!(HostEvent::from_words([0, 99, 0, 0]), None);
        assert_eq!(HostEvent::from_words([0, UNHALT | 8 << 8, 0, 0]), None);
    }
}
