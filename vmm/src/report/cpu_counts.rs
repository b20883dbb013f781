//! One CPU's numbers, copied out of the payload's results.

use std::mem::{offset_of, size_of};

use guest_payload::abi::{CpuResults, HISTO_BLOCKED_BUCKETS, SlowPathStats, WAIT_BUCKETS};

use super::violations::Violations;

/// Size of one CPU's entry at `cpus_gpa` of the results page.
pub const CPU_RESULTS_BYTES: usize = size_of::<CpuResults>();

/// A copy of one CPU's [`CpuResults`]. The guest may have written anything into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuCounts {
    /// Its x2APIC ID, as the guest found it.
    pub apic_id: u32,
    /// One of the ABI's `CPU_*` values.
    pub state: u32,
    /// Guest address of the lock it waits for in the slow path; 0 for none.
    pub waiting_lock: u64,
    /// The ticket it waits for.
    pub waiting_ticket: u32,
    /// Locks taken.
    pub acquisitions: u64,
    /// Halts.
    pub halts: u64,
    /// Kicks sent.
    pub kicks_sent: u64,
    /// Promises broken.
    pub violations: Violations,
    /// Lock objects freed.
    pub freed: u64,
    /// Turns that wrote and read a sequence number.
    pub io_turns: u64,
    /// Times it learnt that the host had stopped it.
    pub clock_stops: u64,
    /// See [`GuestCounters::taken_slow`](super::payload::GuestCounters::taken_slow).
    pub taken_slow: u64,
    /// Slow path entered by a waiter that found the lock its own, without a halt.
    pub taken_slow_pickup: u64,
    /// Poll that came back without its event.
    pub taken_slow_spurious: u64,
    /// Slow path entered by an unlocker.
    pub released_slow: u64,
    /// Waiter found and kicked.
    pub released_slow_kicked: u64,
    /// Time in the slow path, in ns.
    pub time_blocked_ns: u64,
    /// Log2 histogram of the same.
    pub histo_blocked: Vec<u64>,
    /// Waits, in the buckets of the results page.
    pub wait: Vec<u64>,
    /// Longest wait in TSC cycles.
    pub wait_max_cycles: u64,
    /// Times it left a spin loop for the host.
    pub spin_exits: u64,
    /// What its kicks took it, in the same buckets.
    pub kick: Vec<u64>,
    /// Longest of them in TSC cycles.
    pub kick_max_cycles: u64,
}

impl CpuCounts {
    /// From the bytes of a [`CpuResults`] in guest memory.
    pub fn parse(bytes: &[u8; CPU_RESULTS_BYTES]) -> Self {
        macro_rules! at {
            ($field:ident) => {
                offset_of!(CpuResults, $field)
            };
            (slow.$field:ident) => {
                offset_of!(CpuResults, slow) + offset_of!(SlowPathStats, $field)
            };
        }
        let u32_at = |at: usize| {
            bytes[at..]
                .first_chunk()
                .map_or(0, |&x| u32::from_le_bytes(x))
        };
        let u64_at = |at: usize| {
            bytes[at..]
                .first_chunk()
                .map_or(0, |&x| u64::from_le_bytes(x))
        };
        let array = |at: usize, length| (0..length).map(|i| u64_at(at + 8 * i)).collect();
        Self {
            apic_id: u32_at(at!(apic_id)),
            state: u32_at(at!(state)),
            waiting_lock: u64_at(at!(waiting_lock)),
            waiting_ticket: u32_at(at!(waiting_ticket)),
            acquisitions: u64_at(at!(acquisitions)),
            halts: u64_at(at!(halts)),
            kicks_sent: u64_at(at!(kicks_sent)),
            violations: Violations {
                mutual_exclusion: u64_at(at!(mutual_exclusion)),
                fifo: u64_at(at!(fifo)),
                touch_after_unlock: u64_at(at!(touch_after_unlock)),
                io_duplicated: u64_at(at!(io_duplicated)),
                io_lost: u64_at(at!(io_lost)),
                tsc_backwards: u64_at(at!(tsc_backwards)),
                kvmclock_backwards: u64_at(at!(kvmclock_backwards)),
            },
            freed: u64_at(at!(freed)),
            io_turns: u64_at(at!(io_turns)),
            clock_stops: u64_at(at!(clock_stops)),
            taken_slow: u64_at(at!(slow.taken_slow)),
            taken_slow_pickup: u64_at(at!(slow.taken_slow_pickup)),
            taken_slow_spurious: u32_at(at!(slow.taken_slow_spurious)).into(),
            released_slow: u64_at(at!(slow.released_slow)),
            released_slow_kicked: u64_at(at!(slow.released_slow_kicked)),
            time_blocked_ns: u64_at(at!(slow.time_blocked_ns)),
            histo_blocked: array(at!(slow.histo_blocked), HISTO_BLOCKED_BUCKETS),
            wait: array(at!(wait), WAIT_BUCKETS),
            wait_max_cycles: u64_at(at!(wait_max)),
            spin_exits: u64_at(at!(spin_exits)),
            kick: array(at!(kick), WAIT_BUCKETS),
            kick_max_cycles: u64_at(at!(kick_max)),
        }
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "sees the bytes of a record")]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn bytes(results: &CpuResults) -> &[u8; CPU_RESULTS_BYTES] {
        // SAFETY: `results` is initialised, its padding included (it is made of zeroes), and
        // nobody else has it; the bytes live as long as it does.
        unsafe { &*std::ptr::from_ref(results).cast() }
    }

    fn zeroes() -> Box<CpuResults> {
        // SAFETY: every field is an integer, for which all zeroes is a value.
        unsafe { Box::<CpuResults>::new_zeroed().assume_init() }
    }

    #[test]
    fn every_field_is_found() {
        let mut results = zeroes();
        let mut next = 0;
        let mut set = |field: &mut AtomicU64| {
            next += 1;
            *field.get_mut() = next << 40 | next;
        };
        let CpuResults {
            waiting_lock,
            acquisitions,
            halts,
            kicks_sent,
            mutual_exclusion,
            fifo,
            touch_after_unlock,
            freed,
            slow,
            wait,
            wait_max,
            io_turns,
            io_duplicated,
            io_lost,
            tsc_backwards,
            kvmclock_backwards,
            clock_stops,
            spin_exits,
            kick,
            kick_max,
            ..
        } = &mut *results;
        let SlowPathStats {
            taken_slow,
            taken_slow_pickup,
            released_slow,
            released_slow_kicked,
            time_blocked_ns,
            histo_blocked,
            ..
        } = slow;
        for field in [waiting_lock, acquisitions, halts, kicks_sent] {
            set(field);
        }
        for field in [mutual_exclusion, fifo, touch_after_unlock, freed] {
            set(field);
        }
        for field in [taken_slow, taken_slow_pickup, released_slow] {
            set(field);
        }
        for field in [released_slow_kicked, time_blocked_ns, wait_max] {
            set(field);
        }
        for field in [io_turns, clock_stops, io_duplicated, io_lost] {
            set(field);
        }
        for field in [tsc_backwards, kvmclock_backwards] {
            set(field);
        }
        for field in [spin_exits, kick_max] {
            set(field);
        }
        let histograms = histo_blocked.iter_mut().chain(wait).chain(kick);
        histograms.for_each(&mut set);
        *results.apic_id.get_mut() = 300;
        *results.state.get_mut() = 3;
        *results.waiting_ticket.get_mut() = 14;
        *results.slow.taken_slow_spurious.get_mut() = 15;

        let number = |n: u64| n << 40 | n;
        let histo_end = 23 + HISTO_BLOCKED_BUCKETS as u64;
        let wait_end = histo_end + WAIT_BUCKETS as u64;
        let kick_end = wait_end + WAIT_BUCKETS as u64;
        let expected = CpuCounts {
            apic_id: 300,
            state: 3,
            waiting_ticket: 14,
            waiting_lock: number(1),
            acquisitions: number(2),
            halts: number(3),
            kicks_sent: number(4),
            violations: Violations {
                mutual_exclusion: number(5),
                fifo: number(6),
                touch_after_unlock: number(7),
                io_duplicated: number(17),
                io_lost: number(18),
                tsc_backwards: number(19),
                kvmclock_backwards: number(20),
            },
            freed: number(8),
            io_turns: number(15),
            clock_stops: number(16),
            taken_slow: number(9),
            taken_slow_pickup: number(10),
            taken_slow_spurious: 15,
            released_slow: number(11),
            released_slow_kicked: number(12),
            time_blocked_ns: number(13),
            wait_max_cycles: number(14),
            histo_blocked: (23..histo_end).map(number).collect(),
            wait: (histo_end..wait_end).map(number).collect(),
            spin_exits: number(21),
            kick: (wait_end..kick_end).map(number).collect(),
            kick_max_cycles: number(22),
        };
        assert_eq!(CpuCounts::parse(bytes(&results)), expected);
    }
}
