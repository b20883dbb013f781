//! The payload's command line: `key=value` words, as the guest reads them and as the host checks
//! them before the guest starts.

mod choices;
mod quantity;

pub use choices::{Apic, Clocks, Interface, Mode, Ring, Threshold, TicketWidth, Timing};
use quantity::{milliseconds, size};

use crate::conformance::Case;
use crate::havoc::Deeds;
use crate::lock::{self, LockKind, TicketBits};
use crate::pv::WaitEarly;

/// The parsed command line. Defaults are in [`Args::DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Args<'a> {
    /// `mode=stress|conformance|latency|havoc`.
    pub mode: Mode,
    /// `lock=NAME`, see [`LockKind`].
    pub lock: LockKind,
    /// `tickets=auto|small|large`.
    pub tickets: TicketWidth,
    /// `ring=auto|0|3`.
    pub ring: Ring,
    /// `threshold=SPINS` or `threshold=NUMBERns`.
    pub threshold: Threshold,
    /// `locks=N`: how many locks the CPUs choose from.
    pub locks: u32,
    /// `hold=N`: empty loop iterations inside the lock.
    pub hold: u32,
    /// `think=N`: mean of the empty loop iterations between two locks.
    pub think: u32,
    /// `seconds=S`, in milliseconds; a fraction is allowed.
    pub duration_ms: u32,
    /// `settle=S`: how long the workload runs before it counts, in milliseconds. Until every CPU
    /// has had its turn the first ones have the locks to themselves, and a second of that may
    /// outweigh a minute of a lock that has collapsed.
    pub settle_ms: u32,
    /// `seed=N` of the random numbers.
    pub seed: u64,
    /// `mortal=N`: every N-th lock taken is one that its last user frees (0: none).
    pub mortal: u32,
    /// `linger=N`: PAUSEs between a release and what the lock does after it, to widen the window
    /// in which a freed lock can be touched.
    pub linger: u32,
    /// `window=N`: PAUSEs between a waiter's last look at the lock and its halt, to widen the window
    /// in which a kick finds its vCPU still running.
    pub window: u32,
    /// `wait-early=on|off`: whether a waiter in a queue halts at once when the one before it does
    /// not run.
    pub wait_early: WaitEarly,
    /// `timing=on|off`.
    pub timing: Timing,
    /// `clocks=on|off`.
    pub clocks: Clocks,
    /// `io=N`: every N-th turn writes and reads a sequence number (0: none).
    pub io: u32,
    /// `fill=SIZE`: bytes of memory that are filled with random numbers before the workload.
    pub fill_bytes: u64,
    /// `dirty=N`: pages of that memory that each turn writes to.
    pub dirty: u32,
    /// `apic=auto|xapic|x2apic`.
    pub apic: Apic,
    /// `pv=auto|native|kvm|xen`.
    pub pv: Interface,
    /// `xen_nopvspin`: as [`Self::nopvspin`], where the locks would use Xen's interface.
    pub xen_nopvspin: bool,
    /// `nopvspin`: leave the unlock site unpatched and never halt.
    pub nopvspin: bool,
    /// `cases=A,B,…` for [`Mode::Conformance`].
    pub cases: &'a str,
    /// `deeds=all` or `deeds=NAME,NAME,…` for [`Mode::Havoc`].
    pub deeds: Deeds,
    /// `turns=N` for [`Mode::Havoc`]: how many turns all CPUs take together (0: until the time is over).
    pub turns: u32,
}

/// A word of the command line that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadArg<'a> {
    /// The word.
    pub word: &'a str,
    /// What would have been right.
    pub expected: &'static str,
}

/// What an unknown key is answered with.
pub const KEYS: &str = "one of lock, tickets, ring, threshold, locks, hold, think, seconds, settle, seed, \
                        mortal, linger, window, wait-early, timing, clocks, io, fill, dirty, apic, mode, cases, deeds, turns, pv, nopvspin, \
                        xen_nopvspin";

const DEEDS: &str = "deeds=all or names of ports, strings, mmio, msrs, apic, ipis, kicks, \
                     hypercalls, xen, tables, registers, stubs, pages, halts, vmcall, reckless, \
                     with commas between them";

const MAX_ITERATIONS: u32 = 1 << 31;

/// Most locks at a time: they live in guest memory after the image.
pub const MAX_LOCKS: u32 = 4096;

impl<'a> Args<'a> {
    /// What holds where the command line says nothing.
    pub const DEFAULT: Args<'static> = Args {
        mode: Mode::Stress,
        lock: LockKind::PvTicketHead,
        tickets: TicketWidth::Auto,
        ring: Ring::Auto,
        threshold: Threshold::Spins(2048),
        locks: 1,
        hold: 100,
        think: 400,
        duration_ms: 3000,
        settle_ms: 0,
        seed: 1,
        mortal: 16,
        linger: 0,
        window: 0,
        wait_early: WaitEarly::On,
        timing: Timing::On,
        clocks: Clocks::Off,
        io: 0,
        fill_bytes: 0,
        dirty: 0,
        apic: Apic::Auto,
        pv: Interface::Auto,
        xen_nopvspin: false,
        nopvspin: false,
        cases: "",
        deeds: Deeds::SURVIVABLE,
        turns: 0,
    };

    /// Reads `line`; `unknown` decides about words whose key is not ours (other VMMs add some).
    ///
    /// # Errors
    /// The first word with a bad value, or an unknown word that `unknown` does not accept.
    pub fn parse(line: &'a str, unknown: fn(&str) -> bool) -> Result<Self, BadArg<'a>> {
        let mut args: Args<'a> = Args::DEFAULT;
        for word in line.split_ascii_whitespace() {
            if !args.apply(word)? && !unknown(word) {
                return Err(BadArg {
                    word,
                    expected: KEYS,
                });
            }
        }
        if args.dirty != 0 && args.fill_bytes == 0 {
            let is_dirty = |word: &&str| word.starts_with("dirty=");
            return Err(BadArg {
                word: line
                    .split_ascii_whitespace()
                    .rfind(is_dirty)
                    .unwrap_or_default(),
                expected: "fill=SIZE beside it: the pages to write to",
            });
        }
        Ok(args)
    }

    /// Iterations, PAUSEs and page writes that one turn of one CPU may take, waiting aside.
    pub fn iterations_per_turn(&self) -> u64 {
        u64::from(self.hold)
            + 2 * u64::from(self.think)
            + u64::from(self.linger)
            + u64::from(self.window)
            + u64::from(self.dirty)
    }

    /// The ticket width for `cpus` CPUs.
    pub fn ticket_bits(&self, cpus: u32) -> TicketBits {
        match self.tickets {
            TicketWidth::Auto => self.lock.tickets_for(cpus).unwrap_or(TicketBits::Sixteen),
            TicketWidth::Small => TicketBits::Eight,
            TicketWidth::Large => TicketBits::Sixteen,
        }
    }

    /// The most CPUs that the lock can number with these tickets.
    pub fn max_cpus(&self) -> u32 {
        self.lock.max_cpus(self.ticket_bits(u32::MAX))
    }

    fn apply(&mut self, word: &'a str) -> Result<bool, BadArg<'a>> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let bad = |expected| BadArg { word, expected };
        let count = |most: u32, expected| {
            value
                .parse()
                .ok()
                .filter(|n| *n <= most)
                .ok_or(bad(expected))
        };
        match key {
            "mode" => {
                self.mode = match value {
                    "stress" => Mode::Stress,
                    "conformance" => Mode::Conformance,
                    "latency" => Mode::Latency,
                    "havoc" => Mode::Havoc,
                    _ => return Err(bad("mode=stress|conformance|latency|havoc")),
                }
            }
            "lock" => {
                self.lock = LockKind::from_name(value).ok_or(bad(lock::EXPECTED))?;
            }
            "tickets" => {
                self.tickets = match value {
                    "auto" => TicketWidth::Auto,
                    "small" => TicketWidth::Small,
                    "large" => TicketWidth::Large,
                    _ => return Err(bad("tickets=auto|small|large")),
                }
            }
            "ring" => {
                self.ring = match value {
                    "auto" => Ring::Auto,
                    "0" => Ring::Zero,
                    "3" => Ring::Three,
                    _ => return Err(bad("ring=auto|0|3")),
                }
            }
            "threshold" => {
                let expected = "threshold=SPINS or threshold=NUMBERns, at least 1";
                let (number, in_ns) = match value.strip_suffix("ns") {
                    Some(number) => (number, true),
                    None => (value, false),
                };
                let n = number
                    .parse()
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or(bad(expected))?;
                self.threshold = if in_ns {
                    Threshold::Nanoseconds(n)
                } else {
                    Threshold::Spins(n)
                };
            }
            "locks" => {
                self.locks = count(MAX_LOCKS, "locks=1 to 4096")?;
                if self.locks == 0 {
                    return Err(bad("locks=1 to 4096"));
                }
            }
            "hold" => self.hold = count(MAX_ITERATIONS, "hold=ITERATIONS, at most 2^31")?,
            "think" => self.think = count(MAX_ITERATIONS / 2, "think=ITERATIONS, at most 2^30")?,
            "seconds" => {
                self.duration_ms = milliseconds(value).ok_or(bad("seconds=S, 0 to 86400"))?
            }
            "settle" => self.settle_ms = milliseconds(value).ok_or(bad("settle=S, 0 to 86400"))?,
            "seed" => self.seed = value.parse().map_err(|_| bad("seed=NUMBER"))?,
            "mortal" => self.mortal = count(u32::MAX, "mortal=N")?,
            "linger" => self.linger = count(1 << 24, "linger=PAUSES, at most 16777216")?,
            "window" => self.window = count(1 << 24, "window=PAUSES, at most 16777216")?,
            "wait-early" => {
                self.wait_early = match value {
                    "on" => WaitEarly::On,
                    "off" => WaitEarly::Off,
                    _ => return Err(bad("wait-early=on|off")),
                }
            }
            "clocks" => {
                self.clocks = match value {
                    "on" => Clocks::On,
                    "off" => Clocks::Off,
                    _ => return Err(bad("clocks=on|off")),
                }
            }
            "io" => self.io = count(u32::MAX, "io=N")?,
            "fill" => {
                self.fill_bytes =
                    size(value).ok_or(bad("fill=SIZE with K, M or G, as in 64M, below 3G"))?;
            }
            "dirty" => self.dirty = count(1 << 24, "dirty=PAGES, at most 16777216")?,
            "timing" => {
                self.timing = match value {
                    "on" => Timing::On,
                    "off" => Timing::Off,
                    _ => return Err(bad("timing=on|off")),
                }
            }
            "apic" => {
                self.apic = match value {
                    "auto" => Apic::Auto,
                    "xapic" => Apic::XApic,
                    "x2apic" => Apic::X2Apic,
                    _ => return Err(bad("apic=auto|xapic|x2apic")),
                }
            }
            "cases" => {
                if !value.split(',').all(|name| Case::from_name(name).is_some()) {
                    return Err(bad(
                        "cases=NAME,NAME,... as `vmm conformance --help` lists them",
                    ));
                }
                self.cases = value;
            }
            "deeds" => {
                self.deeds = Deeds::parse(value).ok_or(bad(DEEDS))?;
            }
            "turns" => self.turns = count(u32::MAX, "turns=N")?,
            "pv" => {
                self.pv = match value {
                    "auto" => Interface::Auto,
                    "native" => Interface::Native,
                    "kvm" => Interface::Kvm,
                    "xen" => Interface::Xen,
                    _ => return Err(bad("pv=auto|native|kvm|xen")),
                }
            }
            "nopvspin" if value.is_empty() => self.nopvspin = true,
            "xen_nopvspin" if value.is_empty() => self.xen_nopvspin = true,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
#[path = "args_test.rs"]
mod tests;
