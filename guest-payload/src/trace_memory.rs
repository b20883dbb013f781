//! Memory for the rings that the host has asked for.

use core::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::{CpuResults, TRACE_EVENTS_MAX, TraceEvent};
use guest_payload::trace::Trace;

use crate::arch::smp::Memory;
use crate::shared::RESULTS;

/// Sets memory aside for the rings of `cpus` CPUs. Where there is not that much, nothing is traced:
/// the run itself is worth more.
pub(crate) fn reserve(cpus: u32, memory: &mut Memory) {
    let events = RESULTS.trace_events.load(Relaxed).min(TRACE_EVENTS_MAX);
    let bytes = u64::from(events) * u64::from(cpus) * size_of::<TraceEvent>() as u64;
    if events == 0 {
        return;
    }
    match memory.take(bytes) {
        Some(gpa) => RESULTS.trace_gpa.store(gpa, Relaxed),
        None => RESULTS.trace_events.store(0, Relaxed),
    }
}

/// The ring of CPU `index`, whose numbers are `results`.
pub(crate) fn of(index: u32, results: &'static CpuResults) -> Option<Trace<'static>> {
    let gpa = RESULTS.trace_gpa.load(Relaxed);
    if gpa == 0 {
        return None;
    }
    let events = RESULTS.trace_events.load(Relaxed).min(TRACE_EVENTS_MAX) as usize;
    // SAFETY: `reserve` took this memory for every CPU's ring and nothing else; zero is a valid
    // event, and all its fields are atomics.
    let ring = unsafe {
        core::slice::from_raw_parts(
            (gpa as usize as *const TraceEvent).add(index as usize * events),
            events,
        )
    };
    Trace::new(ring, &results.traced)
}
