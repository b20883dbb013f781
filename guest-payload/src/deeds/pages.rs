//! The pages that guest and host share, with other contents.

use core::mem::offset_of;

use core::sync::atomic::Ordering::Relaxed;
use guest_payload::abi::handshake::{HANDSHAKE_MAGIC, HANDSHAKE_VERSION, Handshake, HandshakeSlot};
use guest_payload::abi::{
    CpuResults, RESULTS_MAGIC, RESULTS_VERSION, Results, STUB_BYTES, StubPage, TRACE_EVENTS_MAX,
    TraceEvent,
};

use super::Turn;
use crate::shared::{HANDSHAKE, RESULTS, STUBS};

/// Where they are. The pages themselves do not tell once a turn has been at them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages {
    cpus: Range,
    slots: Range,
    rings: Range,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    start: u64,
    bytes: u64,
}

impl Range {
    const NONE: Self = Self { start: 0, bytes: 0 };

    fn new(start: u64, count: u64, size: usize) -> Self {
        Self {
            start,
            bytes: if start == 0 { 0 } else { count * size as u64 },
        }
    }
}

impl Pages {
    pub(super) const NONE: Self = Self {
        cpus: Range::NONE,
        slots: Range::NONE,
        rings: Range::NONE,
    };

    /// Looks for them, while what the pages say is true.
    pub(super) fn find(cpus: u32) -> Self {
        let cpus = u64::from(cpus);
        let events = u64::from(RESULTS.trace_events.load(Relaxed).min(TRACE_EVENTS_MAX));
        Self {
            cpus: Range::new(
                RESULTS.cpus_gpa.load(Relaxed),
                cpus,
                size_of::<CpuResults>(),
            ),
            slots: Range::new(
                HANDSHAKE.slots_gpa.load(Relaxed),
                cpus,
                size_of::<HandshakeSlot>(),
            ),
            rings: Range::new(
                RESULTS.trace_gpa.load(Relaxed),
                cpus * events,
                size_of::<TraceEvent>(),
            ),
        }
    }

    /// Address of the results of CPU `index`.
    fn results(&self, index: u32) -> u64 {
        self.cpus.start + u64::from(index) * size_of::<CpuResults>() as u64
    }

    /// Shows the host that CPU `index` makes progress.
    pub(super) fn count(&self, index: u32, turns: u64) {
        put(
            self.results(index) + offset_of!(CpuResults, acquisitions) as u64,
            turns,
        );
    }

    /// Makes the results true, for the end: so many CPUs, each with its APIC ID and its turns.
    pub(super) fn put_right(&self, cpus: impl Iterator<Item = (u32, u64)>) {
        let results = (&raw const RESULTS) as u64;
        for word in 0..size_of::<Results>() as u64 / 8 {
            put(results + 8 * word, 0);
        }
        for word in 0..self.cpus.bytes / 8 {
            put(self.cpus.start + 8 * word, 0);
        }
        let mut count = 0;
        for (apic_id, turns) in cpus {
            let at = self.results(count);
            put(
                at + offset_of!(CpuResults, apic_id) as u64,
                u64::from(apic_id),
            );
            put(at + offset_of!(CpuResults, acquisitions) as u64, turns);
            count += 1;
        }
        put(results + offset_of!(Results, magic) as u64, RESULTS_MAGIC);
        put(
            results + offset_of!(Results, version) as u64,
            RESULTS_VERSION.into(),
        );
        RESULTS.cpus_gpa.store(self.cpus.start, Relaxed);
        RESULTS.cpu_count.store(count, Relaxed);
        RESULTS.done_count.store(count, Relaxed);
    }
}

/// Stores a word where Rust has data that its type says never changes, or that is nobody's.
fn put(at: u64, value: u64) {
    // SAFETY: callers name words of the shared pages, which are in writable memory; under `mode=havoc`
    // nothing here depends on what is in them.
    unsafe { (at as usize as *mut u64).write_volatile(value) };
}

/// What a field of any page may hold.
fn word(turn: &mut Turn) -> u64 {
    match turn.draws.below(4) {
        0 => turn.own.scratch(),
        1 => turn.gpa_for_the_host(),
        2 => u64::from(turn.draws.below(0x1_0000)) << 32 | u64::from(turn.draws.below(0x1_0000)),
        _ => turn.draws.value(),
    }
}

/// Changes words in one of the pages; the state always, so that the host sees something move.
pub(super) fn pages(turn: &mut Turn) {
    let pages = turn.plan.pages;
    let (results, handshake) = ((&raw const RESULTS) as u64, (&raw const HANDSHAKE) as u64);
    let ranges = [
        Range::new(results, 1, offset_of!(Results, trace_gpa) + 8),
        Range::new(handshake, 1, offset_of!(Handshake, slots_gpa) + 8),
        pages.cpus,
        pages.slots,
        pages.rings,
    ];
    let range = ranges[turn.draws.below(5) as usize];
    if range.bytes != 0 {
        for _ in 0..=turn.draws.below(8) {
            let offset = turn
                .draws
                .below(u32::try_from(range.bytes / 8).unwrap_or(u32::MAX));
            let value = word(turn);
            put(range.start + 8 * u64::from(offset), value);
        }
    }
    // The host writes to where the slots are said to be.
    put(
        handshake + offset_of!(Handshake, slots_gpa) as u64,
        if turn.draws.one_in(2) {
            pages.slots.start
        } else {
            turn.gpa_for_the_host() & !63
        },
    );
    // A page that is none of ours is not looked at: that must not be all there is to see.
    if !turn.draws.one_in(8) {
        put(results + offset_of!(Results, magic) as u64, RESULTS_MAGIC);
        put(
            handshake + offset_of!(Handshake, magic) as u64,
            HANDSHAKE_MAGIC,
        );
        put(
            handshake + offset_of!(Handshake, version) as u64,
            HANDSHAKE_VERSION.into(),
        );
        let state = u64::from(turn.draws.below(5)) << 32;
        put(
            results + offset_of!(Results, version) as u64,
            u64::from(RESULTS_VERSION) | state,
        );
    }
}

/// Other code in the stubs, which stays harmless to those who call it, and any bytes behind them.
pub(super) fn stubs(turn: &mut Turn) {
    let page = (&raw const STUBS) as u64;
    const RET: u64 = 0xc3;
    const OUT_RET: u64 = 0xc3_00_e6;
    const UD2: u64 = 0x0b0f;
    let code = match turn.draws.below(4) {
        0 => RET | turn.draws.next() << 8,
        1 => UD2 | turn.draws.next() << 16,
        // A port that ends or halts nothing.
        2 => OUT_RET | u64::from(turn.draws.pick(&[0xe4_u8, 0xe6, 0xe8, 0x80])) << 8,
        _ => OUT_RET | 0xe4 << 8 | turn.draws.next() << 24,
    };
    put(
        page + STUB_BYTES as u64 * u64::from(turn.draws.below(3)),
        code,
    );
    for _ in 0..=turn.draws.below(8) {
        let from = (3 * STUB_BYTES) as u32 / 8;
        let count = size_of::<StubPage>() as u32 / 8;
        let at = page + 8 * u64::from(from + turn.draws.below(count - from));
        let value = turn.draws.value();
        put(at, value);
    }
}
