//! What a turn does beside taking a lock, so that a host which stops, saves and moves this machine
//! is found out: sequence numbers that must arrive once, clocks that must not go back, pages that
//! change.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use guest_payload::abi::{CpuResults, LockObject, PORT_SEQUENCE};
use guest_payload::args::{Args, Clocks};
use guest_payload::clocks::{Handover, Monotonic, Order, PvClock};
use guest_payload::content::Dirtying;
use guest_payload::lock::LockAddress;
use guest_payload::pv::{Cpu, Handshake, handshake};
use guest_payload::sequence::{Arrival, Sequence};
use guest_payload::stats;

use crate::arch::instr::{inl, outl, rdtsc_ordered};
use crate::arch::{clock, smp};
use crate::fill;
use crate::platform::Machine;
use crate::shared::{HANDSHAKE, RESULTS};

/// Watches the turns of one CPU.
pub(crate) trait Witness {
    /// Inside the lock, before anything else.
    fn taken(&mut self, object: &LockObject);
    /// Inside the lock, after everything else.
    fn releasing(&mut self, object: &LockObject);
    /// Outside any lock, once a turn.
    fn turn(&mut self, turn: u32);
}

/// Nothing is watched, and nothing of it is in the loop.
#[derive(Debug)]
pub(crate) struct Blind;

impl Witness for Blind {
    #[inline(always)]
    fn taken(&mut self, _: &LockObject) {}
    #[inline(always)]
    fn releasing(&mut self, _: &LockObject) {}
    #[inline(always)]
    fn turn(&mut self, _: u32) {}
}

/// Whether `args` or the host ask for anything to be watched.
pub(crate) fn is_wanted(args: &Args<'_>) -> bool {
    args.io != 0
        || args.clocks == Clocks::On
        || args.dirty != 0
        || handshake::watches_holders(&HANDSHAKE)
}

/// All that `args` and the host ask for.
#[derive(Debug)]
pub(crate) struct Watching<'a> {
    handshake: Option<(&'a Handshake<'static>, Machine)>,
    io: Option<Io>,
    clocks: Option<ClockWatch>,
    dirtying: Dirtying<'static>,
    dirty_pages: u32,
    results: &'static CpuResults,
}

impl<'a> Watching<'a> {
    /// For CPU `index`, which is `cpu`.
    pub(crate) fn new(args: &Args<'_>, index: u32, cpu: &'a Cpu<'static, Machine>) -> Self {
        let cpus = smp::cpus();
        Self {
            handshake: cpu
                .handshake()
                .map(|handshake| (handshake, *cpu.platform())),
            io: (args.io != 0).then(|| Io::new(args.io, index)),
            clocks: (args.clocks == Clocks::On).then(|| ClockWatch::new(index)),
            dirtying: Dirtying::new(fill::words(), index as usize, cpus.len()),
            dirty_pages: args.dirty,
            results: &cpus[index as usize],
        }
    }
}

impl Witness for Watching<'_> {
    #[inline]
    fn taken(&mut self, object: &LockObject) {
        if let Some((handshake, machine)) = &self.handshake {
            handshake.taken(machine, LockAddress::of(object));
        }
        if let Some(clocks) = &mut self.clocks {
            clocks.taken(object, self.results);
        }
    }

    #[inline]
    fn releasing(&mut self, object: &LockObject) {
        if let Some(clocks) = &mut self.clocks {
            clocks.releasing(object, self.results);
        }
        if let Some((handshake, machine)) = &self.handshake {
            handshake.releasing(machine);
        }
    }

    #[inline]
    fn turn(&mut self, turn: u32) {
        if let Some(io) = &mut self.io {
            io.turn(turn, self.results);
        }
        self.dirtying.write(self.dirty_pages);
        if let Some((handshake, machine)) = &self.handshake {
            handshake.outside(machine);
        }
    }
}

/// Numbers that the boot CPU read before the workload, to see whether somebody counts.
const NUMBERS_TRIED: u32 = 2;

/// Whether the host has a device that counts at [`PORT_SEQUENCE`]. Once, on the boot CPU.
pub(crate) fn host_counts() -> bool {
    (0..NUMBERS_TRIED).all(|number| inl(PORT_SEQUENCE.into()) == number)
}

/// This CPU's sequence numbers.
#[derive(Debug)]
struct Io {
    every: u32,
    written: Sequence,
    read: Sequence,
}

impl Io {
    fn new(every: u32, index: u32) -> Self {
        let read = if index == 0 { NUMBERS_TRIED } else { 0 };
        Self {
            every,
            written: Sequence::default(),
            read: Sequence::due(read),
        }
    }

    #[inline]
    fn turn(&mut self, turn: u32, results: &CpuResults) {
        if !turn.is_multiple_of(self.every) {
            return;
        }
        outl(PORT_SEQUENCE.into(), self.written.take());
        match self.read.arrive(inl(PORT_SEQUENCE.into())) {
            Arrival::Due => {}
            Arrival::Skipped(numbers) => stats::add(&results.io_duplicated, numbers.into()),
            Arrival::Again => stats::add(&results.io_lost, 1),
        }
        stats::add(&results.io_turns, 1);
    }
}

/// This CPU's clocks.
#[derive(Debug)]
struct ClockWatch {
    tsc: Monotonic,
    handover: Handover,
    kvmclock: Option<&'static PvClock>,
    kvmclock_ns: Monotonic,
}

/// What the clocks show at one moment.
struct Instant {
    tsc: u64,
    /// kvmclock in ns where all CPUs' pages tell the same, else 0.
    shared_ns: u64,
}

impl ClockWatch {
    fn new(index: u32) -> Self {
        Self {
            tsc: Monotonic::default(),
            handover: Handover::new(),
            kvmclock: clock::has_kvmclock().then(|| smp::kvmclock(index)),
            kvmclock_ns: Monotonic::default(),
        }
    }

    /// Reads the clocks and compares them with this CPU's last look.
    #[inline]
    fn look(&mut self, results: &CpuResults) -> Instant {
        let time = self.kvmclock.and_then(|page| page.read(rdtsc_ordered));
        let tsc = time.map_or_else(rdtsc_ordered, |time| time.tsc);
        count_if(self.tsc.has_gone_back(tsc), &results.tsc_backwards);
        let Some(time) = time else {
            return Instant { tsc, shared_ns: 0 };
        };
        count_if(time.was_stopped, &results.clock_stops);
        count_if(
            self.kvmclock_ns.has_gone_back(time.ns),
            &results.kvmclock_backwards,
        );
        Instant {
            tsc,
            shared_ns: if time.is_stable { time.ns } else { 0 },
        }
    }

    #[inline]
    fn taken(&mut self, object: &LockObject, results: &CpuResults) {
        let now = self.look(results);
        let skew = RESULTS.tsc_skew_cycles.load(Relaxed);
        match self
            .handover
            .judge(object.last_tsc.load(Relaxed), now.tsc, skew)
        {
            Order::Kept => {}
            Order::Learnt(skew) => {
                RESULTS.tsc_skew_cycles.fetch_max(skew, Relaxed);
            }
            Order::Broken => stats::add(&results.tsc_backwards, 1),
        }
        let before = object.last_kvmclock_ns.load(Relaxed);
        count_if(
            now.shared_ns != 0 && now.shared_ns < before,
            &results.kvmclock_backwards,
        );
    }

    #[inline]
    fn releasing(&mut self, object: &LockObject, results: &CpuResults) {
        let now = self.look(results);
        object.last_tsc.store(now.tsc, Relaxed);
        object.last_kvmclock_ns.store(now.shared_ns, Relaxed);
    }
}

#[inline]
fn count_if(happened: bool, counter: &AtomicU64) {
    if happened {
        stats::add(counter, 1);
    }
}
