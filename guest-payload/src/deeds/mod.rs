//! `mode=havoc`: all CPUs do to their machine, turn after turn, what no guest should.
//!
//! A fault, an interrupt or an INIT ends the turn, not the run: the CPU goes on with its next one. The boot
//! CPU is spared what nobody could bring it back from, so that the run ends when it is to end; only
//! [`Deed::Reckless`] spares nobody.

pub(crate) mod area;
mod calls;
mod end;
mod interrupts;
mod io;
mod msrs;
mod pages;
mod reckless;
mod registers;
mod tables;

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use guest_payload::abi::STATE_RUNNING;
use guest_payload::args::{Args, Mode};
use guest_payload::havoc::{Deed, Draws};

use crate::arch::idt;
use crate::arch::instr::{cpuid, hlt, pause, rdtsc};
use crate::arch::smp::{self, Memory};
use crate::boot_cell::BootCell;
use crate::setup;
use crate::shared::RESULTS;
use area::Area;
use pages::Pages;

/// What is the same for all turns.
#[derive(Clone, Copy, Debug)]
struct Plan {
    cpus: u32,
    pages: Pages,
    tsc_khz: u64,
    /// The TSC at the start.
    start: u64,
    /// The TSC at which the run ends, where a number of turns does not.
    deadline: u64,
}

static PLAN: BootCell<Plan> = BootCell::new(Plan {
    cpus: 0,
    pages: Pages::NONE,
    tsc_khz: 0,
    start: 0,
    deadline: 0,
});

/// Turns begun by all CPUs.
static TURNS: AtomicU64 = AtomicU64::new(0);
/// Not 0 once the CPUs may take turns.
static HAS_BEGUN: AtomicU32 = AtomicU32::new(0);
/// Not 0 once no new turn begins.
static IS_OVER: AtomicU32 = AtomicU32::new(0);

/// One CPU in one turn.
struct Turn {
    own: &'static Area,
    index: u32,
    draws: Draws,
    plan: &'static Plan,
}

impl Turn {
    /// The boot CPU is the one that ends the run.
    fn is_boot_cpu(&self) -> bool {
        self.index == 0
    }

    /// Whether the TSC must be left alone, because it says when the run is over.
    fn is_timed(&self) -> bool {
        setup::get().args.turns == 0
    }

    /// An APIC ID: one of the machine's, a broadcast or any.
    fn apic_id(&mut self) -> u32 {
        match self.draws.below(8) {
            0 => 0xff,
            1 => u32::MAX,
            2 => self.draws.value() as u32,
            _ => self.known_apic_id(),
        }
    }

    /// One of the machine's APIC IDs.
    fn known_apic_id(&mut self) -> u32 {
        let index = self.draws.below(self.plan.cpus);
        area::of(index).apic_id.load(Relaxed)
    }

    /// An address inside this CPU's scratch memory.
    fn scratch(&mut self) -> u64 {
        self.own.scratch() + u64::from(self.draws.below(area::SCRATCH_BYTES as u32))
    }

    /// An address below 4 GiB where there is no RAM: devices are there, or nothing is.
    fn hole(&mut self) -> u64 {
        const START: u64 = 0xc000_0000;
        START + u64::from(self.draws.below(1 << 30))
    }

    /// A physical address for the host to write to: scratch, no RAM, or none at all.
    fn gpa_for_the_host(&mut self) -> u64 {
        match self.draws.below(4) {
            0 => self.hole(),
            1 => self.draws.next() | 1 << 40,
            2 => u64::MAX,
            // Room for a page behind it.
            _ => self.own.scratch() + u64::from(self.draws.below(4 * 4096)),
        }
    }
}

/// Sets memory aside for what `args` ask for. `None` if there is not that much.
pub(crate) fn reserve(args: &Args<'_>, cpus: u32, memory: &mut Memory) -> Option<()> {
    if args.mode != Mode::Havoc {
        return Some(());
    }
    area::reserve(cpus, memory)
}

/// The boot CPU's part, before it takes turns like the others.
pub(crate) fn run(rsdp: u64) -> ! {
    let cpus = RESULTS.cpu_count.load(Relaxed);
    idt::build_for_havoc();
    enroll(0);
    smp::start_others(rsdp);
    for index in 1..cpus {
        while !smp::is_at_start(index) {
            pause();
        }
        enroll(index);
    }
    smp::copy_trampoline_everywhere();
    let id_leaf = if cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ebx != 0 {
        0xb
    } else {
        1
    };
    let start = rdtsc();
    let khz = RESULTS.tsc_khz.load(Relaxed).max(1);
    let plan = Plan {
        cpus,
        pages: Pages::find(cpus),
        tsc_khz: khz,
        start,
        deadline: start + u64::from(setup::get().args.duration_ms) * khz,
    };
    // SAFETY: the other CPUs wait for `HAS_BEGUN` and have no reference.
    unsafe { PLAN.set(plan) };
    RESULTS.start_tsc.store(start, Relaxed);
    RESULTS.state.store(STATE_RUNNING, SeqCst);
    area::open_for_restarts(cpus, id_leaf);
    // SeqCst: pairs with the load in `join`, so that the plan is seen.
    HAS_BEGUN.store(1, SeqCst);
    begin(0)
}

/// The part of every other CPU.
pub(crate) fn join(index: u32) -> ! {
    while HAS_BEGUN.load(SeqCst) == 0 {
        pause();
    }
    begin(index)
}

fn enroll(index: u32) {
    let area = area::of(index);
    area.apic_id.store(smp::apic_id(index), Relaxed);
    area.index.store(index, Relaxed);
}

fn begin(index: u32) -> ! {
    idt::load_for_havoc();
    let own = area::of(index);
    // SAFETY: the area's stack is this CPU's, and `first_turn` never returns.
    unsafe {
        core::arch::asm!(
            "mov rsp, {stack}",
            "jmp {turns}",
            stack = in(reg) core::ptr::from_ref(own) as u64 + area::STACK_TOP as u64 - 8,
            turns = sym first_turn,
            in("rdi") own,
            options(noreturn)
        )
    }
}

/// Waits for the others: who has neither table nor stack for it yet must not be interrupted.
extern "C" fn first_turn(own: &'static Area) -> ! {
    static READY: AtomicU32 = AtomicU32::new(0);
    READY.fetch_add(1, SeqCst);
    while READY.load(SeqCst) < PLAN.get().cpus {
        pause();
    }
    havoc_turns(own)
}

/// A CPU that was started anew, on the stack of its area.
#[unsafe(no_mangle)]
extern "C" fn havoc_restarted(own: &'static Area) -> ! {
    own.restarts.fetch_add(1, Relaxed);
    smp::load_segments(own.index.load(Relaxed));
    idt::load_for_havoc();
    smp::enable_apic();
    havoc_turns(own)
}

/// Turn after turn. Also comes here from whatever interrupted a turn.
#[unsafe(no_mangle)]
extern "C" fn havoc_turns(own: &'static Area) -> ! {
    registers::put_right();
    let index = own.index.load(Relaxed);
    let plan = PLAN.get();
    let args = &setup::get().args;
    loop {
        // SeqCst, here and in `end`: either this CPU sees that it is over, or who ends the run sees that
        // it is busy.
        own.is_busy.store(1, SeqCst);
        if IS_OVER.load(SeqCst) != 0 {
            break;
        }
        let turn = own.turns.load(Relaxed) + 1;
        own.turns.store(turn, Relaxed);
        plan.pages.count(index, turn);
        let all = TURNS.fetch_add(1, Relaxed) + 1;
        let is_last = match args.turns {
            0 => rdtsc() >= plan.deadline,
            turns => all >= u64::from(turns),
        };
        if is_last {
            IS_OVER.store(1, SeqCst);
            break;
        }
        let mut draws = Draws::of_turn(args.seed, index, turn);
        let deed = args.deeds.draw(&mut draws);
        let turn = Turn {
            own,
            index,
            draws,
            plan,
        };
        carry_out(deed, turn);
        own.is_busy.store(0, SeqCst);
    }
    own.is_busy.store(0, SeqCst);
    if index == 0 {
        end::end(plan)
    }
    loop {
        hlt();
    }
}

fn carry_out(deed: Deed, mut turn: Turn) {
    let turn = &mut turn;
    match deed {
        Deed::Ports => io::ports(turn),
        Deed::Strings => io::strings(turn),
        Deed::Mmio => io::mmio(turn),
        Deed::Msrs => msrs::msrs(turn),
        Deed::Apic => interrupts::registers(turn),
        Deed::Ipis => interrupts::commands(turn),
        Deed::Kicks => calls::kicks(turn),
        Deed::Hypercalls => calls::hypercalls(turn),
        Deed::Xen => calls::xen(turn),
        Deed::Vmcall => calls::vmcall(turn),
        Deed::Halts => calls::halts(turn),
        Deed::Tables => tables::tables(turn),
        Deed::Registers => registers::registers(turn),
        Deed::Stubs => pages::stubs(turn),
        Deed::Pages => pages::pages(turn),
        Deed::Reckless => reckless::reckless(turn),
    }
}
