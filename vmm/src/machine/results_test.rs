use guest_payload::abi::{CPU_RUNNING, STATE_RUNNING};

use super::*;

const PAGE: u64 = 0x10_0000;
const CPUS: u64 = 0x20_0000;

fn put(memory: &GuestMemoryMmap, at: u64, offset: usize, bytes: &[u8]) {
    let at = GuestAddress(at + offset as u64);
    memory.write_slice(bytes, at).unwrap();
}

/// The results of a guest that says it has 3 CPUs. Every number of CPU n is `base << n`, where
/// the fields listed have bases 1, 2, 3, ….
fn guest(fields: &[usize]) -> GuestMemoryMmap {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4 << 20)]).unwrap();
    let page = |offset, bytes: &[u8]| put(&memory, PAGE, offset, bytes);
    page(offset_of!(Results, magic), &RESULTS_MAGIC.to_le_bytes());
    page(offset_of!(Results, version), &RESULTS_VERSION.to_le_bytes());
    page(offset_of!(Results, state), &STATE_RUNNING.to_le_bytes());
    page(offset_of!(Results, cpu_count), &3_u32.to_le_bytes());
    page(offset_of!(Results, cpus_gpa), &CPUS.to_le_bytes());
    page(offset_of!(Results, tsc_skew_cycles), &17_u64.to_le_bytes());
    for cpu in 0..3_u64 {
        let at = CPUS + cpu * size_of::<CpuResults>() as u64;
        put(
            &memory,
            at,
            offset_of!(CpuResults, state),
            &CPU_RUNNING.to_le_bytes(),
        );
        for (base, offset) in (1_u64..).zip(fields) {
            put(&memory, at, *offset, &(base << cpu).to_le_bytes());
        }
    }
    memory
}

#[test]
fn the_live_counts_are_sums_over_the_machines_vcpus_and_the_device() {
    let memory = guest(&[
        offset_of!(CpuResults, acquisitions),
        offset_of!(CpuResults, halts),
        offset_of!(CpuResults, kicks_sent),
        offset_of!(CpuResults, io_turns),
        offset_of!(CpuResults, clock_stops),
        offset_of!(CpuResults, mutual_exclusion),
        offset_of!(CpuResults, fifo),
        offset_of!(CpuResults, touch_after_unlock),
        offset_of!(CpuResults, io_duplicated),
        offset_of!(CpuResults, io_lost),
        offset_of!(CpuResults, tsc_backwards),
        offset_of!(CpuResults, kvmclock_backwards),
    ]);
    // A guest that claims one CPU more than the machine has.
    let view = PayloadView::new(&memory, PAGE, 2);
    let header = view.header().unwrap();
    assert_eq!(header.tsc_skew_cycles, 17);
    let device = IoCounts {
        duplicated: 100,
        lost: 1000,
        ..IoCounts::default()
    };
    let expected = LiveCounts {
        acquisitions: 3,
        halts: 6,
        kicks_sent: 9,
        io_turns: 12,
        clock_stops: 15,
        violations: Violations {
            mutual_exclusion: 18,
            fifo: 21,
            touch_after_unlock: 24,
            io_duplicated: 127,
            io_lost: 1030,
            tsc_backwards: 33,
            kvmclock_backwards: 36,
        },
        violations_total: 1289,
    };
    assert_eq!(view.live(&header, &device), expected);
}

#[test]
fn a_hostile_guest_saturates_the_live_counts() {
    let memory = guest(&[]);
    let fifo = offset_of!(CpuResults, fifo);
    for cpu in 0..3 {
        let at = CPUS + cpu * size_of::<CpuResults>() as u64;
        put(&memory, at, fifo, &u64::MAX.to_le_bytes());
    }
    let view = PayloadView::new(&memory, PAGE, 3);
    let counts = view.live(&view.header().unwrap(), &IoCounts::default());
    assert_eq!(counts.violations_total, u64::MAX);
}

#[test]
fn a_page_of_another_version_is_not_read() {
    let memory = guest(&[]);
    let version = offset_of!(Results, version);
    put(&memory, PAGE, version, &(RESULTS_VERSION - 1).to_le_bytes());
    assert_eq!(PayloadView::new(&memory, PAGE, 1).header(), None);
}
