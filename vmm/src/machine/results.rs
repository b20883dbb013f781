//! The payload's results page, read from guest memory that a guest may have filled with anything:
//! every address and count is checked, nothing is indexed or allocated by a guest's number alone.

use std::mem::offset_of;

use guest_payload::abi::{
    self, CPU_ABSENT, CpuResults, LOCK_BYTES, LockObject, RESULTS_MAGIC, RESULTS_VERSION, Results,
};
use guest_payload::lock::{LockKind, TicketBits};
use guest_payload::pv::Backend;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::device::counter::IoCounts;
use crate::report::cpu_counts::CpuCounts;
use crate::report::live::LiveCounts;
use crate::report::violations::Violations;
use crate::trace::guest::Rings;

/// A structure of the ABI as bytes, read by offset.
#[derive(Debug)]
struct Bits<'a>(&'a [u8]);

impl Bits<'_> {
    fn u32(&self, offset: usize) -> u32 {
        let bytes = self
            .0
            .get(offset..offset + 4)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }

    fn u64(&self, offset: usize) -> u64 {
        let bytes = self
            .0
            .get(offset..offset + 8)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    }
}

/// The page's own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// One of the ABI's `STATE_*`.
    pub state: u32,
    /// CPUs that the guest found.
    pub cpu_count: u32,
    /// Ring of the workload.
    pub ring: u32,
    /// The lock, if the number is one.
    pub lock: Option<LockKind>,
    /// Ticket width in bits, 0 for none.
    pub ticket_bits: u32,
    /// Whose interface the patched-in slow path uses; `Native` where none is.
    pub backend: Backend,
    /// CPUs that have left the workload.
    pub done_count: u32,
    /// TSC frequency, 0 where unknown.
    pub tsc_khz: u64,
    /// Spins before the slow path.
    pub threshold_spins: u64,
    /// TSC at the start of the workload.
    pub start_tsc: u64,
    /// TSC at its end, 0 while it runs.
    pub end_tsc: u64,
    cpus_gpa: u64,
    /// Address of the locks.
    pub locks_gpa: u64,
    /// How many there are.
    pub lock_count: u64,
    /// Where the CPUs note the steps of their slow paths.
    pub trace: Rings,
    /// How far the vCPUs' TSCs were seen to differ at the start, in cycles.
    pub tsc_skew_cycles: u64,
    /// Bytes of memory that were filled before the workload.
    pub fill_bytes: u64,
    /// Vector, error code, RIP and CR2 of the exception that ended the guest.
    pub exception: [u64; 4],
}

/// A lock object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Its number.
    pub index: u64,
    /// The lock's own bytes.
    pub bytes: [u8; LOCK_BYTES],
    /// CPU number of the holder.
    pub owner: Option<u32>,
}

/// Reads the results of a payload.
#[derive(Clone, Copy, Debug)]
pub struct PayloadView<'a> {
    memory: &'a GuestMemoryMmap,
    gpa: u64,
    vcpus: u32,
}

impl<'a> PayloadView<'a> {
    /// The results at `gpa` of a guest with `vcpus` vCPUs.
    pub fn new(memory: &'a GuestMemoryMmap, gpa: u64, vcpus: u32) -> Self {
        Self { memory, gpa, vcpus }
    }

    fn read<const N: usize>(&self, gpa: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.memory.read_slice(&mut bytes, GuestAddress(gpa)).ok()?;
        Some(bytes)
    }

    /// The page, if it is one of ours.
    pub fn header(&self) -> Option<Header> {
        let bytes: [u8; size_of::<Results>()] = self.read(self.gpa)?;
        let page = Bits(&bytes);
        if page.u64(offset_of!(Results, magic)) != RESULTS_MAGIC
            || page.u32(offset_of!(Results, version)) != RESULTS_VERSION
        {
            return None;
        }
        let exception = offset_of!(Results, exception);
        Some(Header {
            state: page.u32(offset_of!(Results, state)),
            cpu_count: page.u32(offset_of!(Results, cpu_count)),
            ring: page.u32(offset_of!(Results, ring)),
            lock: LockKind::from_u32(page.u32(offset_of!(Results, lock_kind))),
            ticket_bits: page.u32(offset_of!(Results, ticket_bits)),
            backend: Backend::from_number(page.u32(offset_of!(Results, pv_active)))
                .unwrap_or(Backend::Native),
            done_count: page.u32(offset_of!(Results, done_count)),
            tsc_khz: page.u64(offset_of!(Results, tsc_khz)),
            threshold_spins: page.u64(offset_of!(Results, threshold_spins)),
            start_tsc: page.u64(offset_of!(Results, start_tsc)),
            end_tsc: page.u64(offset_of!(Results, end_tsc)),
            cpus_gpa: page.u64(offset_of!(Results, cpus_gpa)),
            locks_gpa: page.u64(offset_of!(Results, locks_gpa)),
            lock_count: page.u64(offset_of!(Results, lock_count)),
            trace: Rings {
                gpa: page.u64(offset_of!(Results, trace_gpa)),
                events: page.u32(offset_of!(Results, trace_events)),
            },
            tsc_skew_cycles: page.u64(offset_of!(Results, tsc_skew_cycles)),
            fill_bytes: page.u64(offset_of!(Results, fill_bytes)),
            exception: [
                page.u64(exception + offset_of!(abi::Exception, vector)),
                page.u64(exception + offset_of!(abi::Exception, error_code)),
                page.u64(exception + offset_of!(abi::Exception, rip)),
                page.u64(exception + offset_of!(abi::Exception, cr2)),
            ],
        })
    }

    /// Where CPU `number`'s results are.
    fn cpu_gpa(&self, header: &Header, number: u32) -> Option<u64> {
        let offset = u64::from(number).checked_mul(size_of::<CpuResults>() as u64)?;
        header.cpus_gpa.checked_add(offset)
    }

    /// CPUs the host believes in: no more than it made.
    fn cpu_count(&self, header: &Header) -> u32 {
        header.cpu_count.min(self.vcpus)
    }

    /// One CPU's numbers.
    pub fn cpu(&self, header: &Header, number: u32) -> Option<CpuCounts> {
        if number >= self.cpu_count(header) {
            return None;
        }
        Some(CpuCounts::parse(&self.read(self.cpu_gpa(header, number)?)?))
    }

    /// All CPUs' numbers.
    pub fn cpus(&self, header: &Header) -> Vec<CpuCounts> {
        (0..self.cpu_count(header))
            .filter_map(|number| self.cpu(header, number))
            .collect()
    }

    /// Locks taken by all CPUs so far: cheap enough to look at while the guest runs.
    pub fn acquisitions(&self, header: &Header) -> u64 {
        self.sum(
            header,
            offset_of!(CpuResults, acquisitions),
            u64::from_le_bytes,
        )
    }

    /// What all CPUs have done so far, and with `device` what the counting device saw. Reads a dozen
    /// words a CPU and none of the histograms.
    pub fn live(&self, header: &Header, device: &IoCounts) -> LiveCounts {
        let sum = |offset| self.sum(header, offset, u64::from_le_bytes);
        let mut violations = Violations {
            mutual_exclusion: sum(offset_of!(CpuResults, mutual_exclusion)),
            fifo: sum(offset_of!(CpuResults, fifo)),
            touch_after_unlock: sum(offset_of!(CpuResults, touch_after_unlock)),
            io_duplicated: sum(offset_of!(CpuResults, io_duplicated)),
            io_lost: sum(offset_of!(CpuResults, io_lost)),
            tsc_backwards: sum(offset_of!(CpuResults, tsc_backwards)),
            kvmclock_backwards: sum(offset_of!(CpuResults, kvmclock_backwards)),
        };
        violations.add_device(device);
        LiveCounts {
            acquisitions: sum(offset_of!(CpuResults, acquisitions)),
            halts: sum(offset_of!(CpuResults, halts)),
            kicks_sent: sum(offset_of!(CpuResults, kicks_sent)),
            io_turns: sum(offset_of!(CpuResults, io_turns)),
            clock_stops: sum(offset_of!(CpuResults, clock_stops)),
            violations,
            violations_total: violations.total(),
        }
    }

    /// Number of the CPU with this APIC ID, and how many steps it has noted.
    pub fn traced(&self, header: &Header, apic_id: u32) -> Option<(u32, u64)> {
        (0..self.cpu_count(header)).find_map(|number| {
            let gpa = self.cpu_gpa(header, number)?;
            let at = |offset: usize| gpa.checked_add(offset as u64);
            let id = self.read(at(offset_of!(CpuResults, apic_id))?)?;
            if u32::from_le_bytes(id) != apic_id {
                return None;
            }
            let written = self.read(at(offset_of!(CpuResults, traced))?)?;
            Some((number, u64::from_le_bytes(written)))
        })
    }

    /// CPUs that have come up.
    pub fn started(&self, header: &Header) -> u64 {
        self.sum(header, offset_of!(CpuResults, state), |bytes: [u8; 4]| {
            u64::from(u32::from_le_bytes(bytes) != CPU_ABSENT)
        })
    }

    fn sum<const N: usize>(
        &self,
        header: &Header,
        offset: usize,
        value: impl Fn([u8; N]) -> u64,
    ) -> u64 {
        (0..self.cpu_count(header))
            .filter_map(|number| {
                let gpa = self.cpu_gpa(header, number)?;
                self.read(gpa.checked_add(offset as u64)?).map(&value)
            })
            .fold(0, u64::saturating_add)
    }

    /// The lock object at `address`, if it is one of the guest's.
    pub fn lock(&self, header: &Header, address: u64) -> Option<Lock> {
        const SIZE: u64 = size_of::<LockObject>() as u64;
        let offset = address.checked_sub(header.locks_gpa)?;
        let index = offset / SIZE;
        if offset % SIZE != 0 || index >= header.lock_count {
            return None;
        }
        let bytes: [u8; size_of::<LockObject>()] = self.read(address)?;
        let object = Bits(&bytes);
        let owner = object.u32(offset_of!(LockObject, owner));
        let mut lock = [0; LOCK_BYTES];
        lock.copy_from_slice(bytes.get(..LOCK_BYTES)?);
        Some(Lock {
            index,
            bytes: lock,
            owner: owner.checked_sub(1),
        })
    }
}

impl Header {
    /// The ticket width, if the lock has tickets.
    pub fn bits(&self) -> Option<TicketBits> {
        TicketBits::from_bits(self.ticket_bits)
    }
}

#[cfg(test)]
#[path = "results_test.rs"]
mod tests;
