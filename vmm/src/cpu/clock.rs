//! TSC and kvmclock across a save and a restore: arithmetic only.
//!
//! The algorithm is Documentation/virt/kvm/devices/vcpu.rst, section 4.1: sample the clock where
//! the machine is paused, set kvmclock where it goes on, sample again there, and choose each vCPU's
//! TSC offset so that kvmclock 0 falls on the same guest TSC as before.

use kvm_bindings::{KVM_CLOCK_HOST_TSC, KVM_CLOCK_REALTIME, kvm_clock_data};
use serde::{Deserialize, Serialize};

/// What the clocks said at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSample {
    /// kvmclock, in ns.
    pub clock_ns: u64,
    /// The host's real time, in ns since 1970; `None` where KVM does not tell.
    pub realtime_ns: Option<u64>,
    /// The host's TSC; `None` where KVM does not tell.
    pub host_tsc: Option<u64>,
}

impl From<&kvm_clock_data> for ClockSample {
    fn from(data: &kvm_clock_data) -> Self {
        let told = |flag, value| (data.flags & flag != 0).then_some(value);
        Self {
            clock_ns: data.clock,
            realtime_ns: told(KVM_CLOCK_REALTIME, data.realtime),
            host_tsc: told(KVM_CLOCK_HOST_TSC, data.host_tsc),
        }
    }
}

/// What the guest's clocks make of the time between the save and the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClockPolicy {
    /// They go on where they stood: the guest notices nothing.
    Continue,
    /// They jump ahead by the time away, as real time did; the hosts' clocks must agree.
    Realtime,
}

/// What `KVM_SET_CLOCK` is to be given where the machine goes on. A source that could not
/// tell real time goes on where it stood.
#[must_use]
pub fn clock_to_set(source: &ClockSample, policy: ClockPolicy) -> kvm_clock_data {
    let (flags, realtime) = match (policy, source.realtime_ns) {
        // KVM itself adds what real time went ahead, at the instant it sets the clock.
        (ClockPolicy::Realtime, Some(realtime)) => (KVM_CLOCK_REALTIME, realtime),
        _ => (0, 0),
    };
    kvm_clock_data {
        clock: source.clock_ns,
        flags,
        realtime,
        ..Default::default()
    }
}

/// The TSC offset for the host where the machine goes on; `target` is sampled there
/// after `KVM_SET_CLOCK`. Without both hosts' TSC the offset stays as it was.
#[must_use]
pub fn tsc_offset_on_target(
    offset_on_source: u64,
    source: &ClockSample,
    target: &ClockSample,
    tsc_khz: u64,
) -> u64 {
    let (Some(source_tsc), Some(target_tsc)) = (source.host_tsc, target.host_tsc) else {
        return offset_on_source;
    };
    let gone_ns = i128::from(target.clock_ns) - i128::from(source.clock_ns);
    let gone_ticks = gone_ns * i128::from(tsc_khz) / 1_000_000;
    // Offsets are differences modulo 2^64, like the TSC itself.
    #[allow(clippy::cast_possible_truncation, reason = "modulo 2^64")]
    let gone_ticks = gone_ticks as u64;
    offset_on_source
        .wrapping_add(gone_ticks)
        .wrapping_add(source_tsc)
        .wrapping_sub(target_tsc)
}

/// Whether a guest whose TSC is the host's own, as where no offset can be set, would see it go
/// back: on another host, or on this one after it was started anew.
#[must_use]
pub fn tsc_goes_back(saved_guest_tsc: u64, host_tsc_now: u64) -> bool {
    // The sign of the difference, so that a TSC that wraps is not a TSC that goes back.
    host_tsc_now.wrapping_sub(saved_guest_tsc).cast_signed() < 0
}

/// The host's TSC when the guest's was `guest_tsc`: the guest's is the host's at the rate of
/// `guest_khz` instead of `host_khz`, plus `offset`. A rate of 0 is not known, and taken to be the
/// host's.
#[must_use]
pub fn host_tsc_of(guest_tsc: u64, offset: u64, guest_khz: u64, host_khz: u64) -> u64 {
    let scaled = guest_tsc.wrapping_sub(offset);
    if guest_khz == host_khz || guest_khz == 0 || host_khz == 0 {
        return scaled;
    }
    let tsc = u128::from(scaled) * u128::from(host_khz) / u128::from(guest_khz);
    u64::try_from(tsc).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "clock_test.rs"]
mod tests;
