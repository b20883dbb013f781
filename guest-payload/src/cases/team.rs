//! The CPUs of the conformance cases: the boot CPU directs, the members halt.
//!
//! Whoever has nothing to do halts, and everybody kicks whom it has news for. So a kick that is
//! lost leaves a machine in which nobody can move, which a host can prove without a clock, and
//! more CPUs than the host has cost nothing. Interrupts are off throughout.

use core::sync::atomic::{
    AtomicI64, AtomicU32,
    Ordering::{Acquire, Release},
};

use guest_payload::abi::KVM_HC_KICK_CPU;

use crate::arch::instr::{hlt, pause};
use crate::arch::{apic, smp};
use crate::platform::hypercall_stub;

/// What a member does before it halts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum First {
    /// Nothing.
    Nothing = 0,
    /// It kicks itself.
    KickSelf = 1,
    /// It says that it is there and waits, running, for [`Member::let_go`].
    WaitForGo = 2,
    /// It disables its local APIC by software.
    DisableApic = 3,
}

impl First {
    const ALL: [Self; 4] = [
        Self::Nothing,
        Self::KickSelf,
        Self::WaitForGo,
        Self::DisableApic,
    ];
}

/// An order is its number, what to do first, and how often to halt, a byte each for the latter.
fn order(number: u32, first: First, halts: u32) -> u32 {
    number << 16 | (first as u32) << 8 | halts
}

/// One CPU, as the others see it. All numbers are of orders but `returned`.
#[derive(Debug)]
pub(crate) struct Member {
    order: AtomicU32,
    /// The kick that announces this order has been sent.
    announced: AtomicU32,
    go: AtomicU32,
    /// The HLTs of this order are next.
    armed: AtomicU32,
    /// HLTs of orders that have returned, since the start.
    returned: AtomicU32,
    /// RAX of the last kick to itself.
    own_kick: AtomicI64,
    done: AtomicU32,
}

/// Most CPUs that take part.
const MEMBERS_MAX: usize = 8;

static MEMBERS: [Member; MEMBERS_MAX] = [const {
    Member {
        order: AtomicU32::new(0),
        announced: AtomicU32::new(0),
        go: AtomicU32::new(0),
        armed: AtomicU32::new(0),
        returned: AtomicU32::new(0),
        own_kick: AtomicI64::new(0),
        done: AtomicU32::new(0),
    }
}; MEMBERS_MAX];

/// Kicks `apic_id`; returns RAX.
pub(crate) fn kick(apic_id: u32) -> i64 {
    hypercall_stub(KVM_HC_KICK_CPU, 0, u64::from(apic_id))
}

/// Uses up a kick that may have come already.
fn drain(own: u32) {
    kick(own);
    hlt();
}

/// Halts until `holds`; whoever makes it hold kicks this CPU afterwards.
pub(crate) fn wait_until(holds: impl Fn() -> bool) {
    while !holds() {
        hlt();
    }
}

/// A member's life: carries out orders for ever.
pub(crate) fn serve(index: u32) -> ! {
    let Some(member) = MEMBERS.get(index as usize) else {
        loop {
            hlt();
        }
    };
    let (own, director) = (apic::id_from_cpuid(), smp::apic_id(0));
    let tell = |word: &AtomicU32, value| {
        word.store(value, Release);
        kick(director);
    };
    kick(director); // has come up
    let mut last = 0;
    loop {
        let order = member.order.load(Acquire);
        if order == last {
            hlt();
            continue;
        }
        last = order;
        // The kick of the order itself must not be taken for one of the case's.
        while member.announced.load(Acquire) != order {
            pause();
        }
        drain(own);
        match First::ALL[(order >> 8 & 3) as usize] {
            First::Nothing => tell(&member.armed, order),
            First::KickSelf => {
                member.own_kick.store(kick(own), Release);
                tell(&member.armed, order);
            }
            First::WaitForGo => {
                tell(&member.armed, order);
                while member.go.load(Acquire) != order {
                    pause();
                }
            }
            First::DisableApic => {
                smp::disable_apic();
                tell(&member.armed, order);
            }
        }
        for _ in 0..order & 0xff {
            hlt();
            tell(&member.returned, member.returned.load(Acquire) + 1);
        }
        if order >> 8 & 3 == First::DisableApic as u32 {
            smp::enable_apic();
        }
        tell(&member.done, order);
    }
}

/// A member that has come up, for the director.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    member: &'static Member,
    pub(crate) apic_id: u32,
}

/// The members that are up.
#[derive(Debug)]
pub(crate) struct Team {
    rsdp: u64,
    up: [Option<Cpu>; MEMBERS_MAX],
}

impl Team {
    /// Nobody is up yet. `rsdp` leads to the APIC IDs.
    pub(crate) fn new(rsdp: u64) -> Self {
        smp::copy_trampoline();
        Self {
            rsdp,
            up: [None; MEMBERS_MAX],
        }
    }

    /// Where the APIC IDs are listed.
    pub(crate) fn rsdp(&self) -> u64 {
        self.rsdp
    }

    /// Whether the CPU with this ID has been started.
    pub(crate) fn is_up(&self, apic_id: u32) -> bool {
        self.up.iter().flatten().any(|cpu| cpu.apic_id == apic_id)
    }

    /// The CPU with this ID, started if it was not up.
    pub(crate) fn cpu(&mut self, apic_id: u32) -> Option<Cpu> {
        if let Some(cpu) = self.up.iter().flatten().find(|cpu| cpu.apic_id == apic_id) {
            return Some(*cpu);
        }
        let place = self.up.iter().position(Option::is_none)?;
        // The boot CPU is 0; the others are numbered as they start.
        let index = place + 1;
        let cpu = Cpu {
            member: MEMBERS.get(index)?,
            apic_id,
        };
        smp::start(apic_id);
        wait_until(|| smp::is_at_start(index as u32));
        self.up[place] = Some(cpu);
        Some(cpu)
    }
}

impl Cpu {
    /// Gives an order; returns once the HLTs are next (or done, where there are none).
    pub(crate) fn order(&self, first: First, halts: u32) {
        let member = self.member;
        let order = order((member.order.load(Acquire) >> 16) + 1, first, halts);
        member.order.store(order, Release);
        kick(self.apic_id);
        member.announced.store(order, Release);
        wait_until(|| member.armed.load(Acquire) == order);
    }

    /// Lets a member go on that does [`First::WaitForGo`].
    pub(crate) fn let_go(&self) {
        self.member
            .go
            .store(self.member.order.load(Acquire), Release);
    }

    /// RAX of its last kick to itself.
    pub(crate) fn answer_to_own_kick(&self) -> i64 {
        self.member.own_kick.load(Acquire)
    }

    /// HLTs that have returned.
    pub(crate) fn returned(&self) -> u32 {
        self.member.returned.load(Acquire)
    }

    /// Waits for the HLT after `returned` others to return.
    pub(crate) fn wait_past(&self, returned: u32) {
        wait_until(|| self.returned() > returned);
    }

    /// Waits for the end of the order.
    pub(crate) fn wait_done(&self) {
        let order = self.member.order.load(Acquire);
        wait_until(|| self.member.done.load(Acquire) == order);
    }

    /// Carries out an empty order and comes back: what others do meanwhile they have time for.
    pub(crate) fn answer(&self) {
        self.order(First::Nothing, 0);
        self.wait_done();
    }
}
