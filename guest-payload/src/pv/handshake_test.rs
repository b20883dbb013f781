use std::cell::{Cell, RefCell};

use super::*;
use crate::abi::handshake::{HANDSHAKE_MAGIC, HANDSHAKE_VERSION, Handshake as Page};
use crate::lock::pv_ticket_head::PvTicketHead;
use crate::lock::queue::Queue;
use crate::lock::{RawLock, U8};
use crate::pv::{Backend, Cpu, PerCpu, WaitingCpus};
use std::sync::atomic::{AtomicU32, AtomicU64};

const GAP: u32 = 100;
const WINDOW: u32 = 4;

fn page(host: u32) -> Page {
    Page {
        magic: HANDSHAKE_MAGIC,
        version: HANDSHAKE_VERSION,
        host: AtomicU32::new(host),
        slot_count: AtomicU32::new(0),
        gap_cycles: AtomicU32::new(GAP),
        window_pauses: AtomicU32::new(WINDOW),
        exit_at_acquire: AtomicU32::new(0),
        exit_at_release: AtomicU32::new(0),
        reserved: 0,
        seed: AtomicU64::new(7),
        slots_gpa: AtomicU64::new(0),
    }
}

fn slots() -> [HandshakeSlot; 2] {
    std::array::from_fn(|_| HandshakeSlot {
        apic_id: AtomicU32::new(0),
        ticket: AtomicU32::new(0),
        serving: AtomicU32::new(0),
        window_pauses: AtomicU32::new(0),
        advice: AtomicU32::new(ADVICE_NONE),
        reserved: 0,
        waiting_lock: AtomicU64::new(0),
        holding_lock: AtomicU64::new(0),
    })
}

/// A TSC that the test sets, and a host that writes down why it was called.
#[derive(Default)]
struct Host<'a> {
    tsc: Cell<u64>,
    exits: RefCell<Vec<SpinExit>>,
    at_exit: Option<Box<dyn Fn() + 'a>>,
}

impl Host<'_> {
    fn exits(&self) -> usize {
        self.exits.borrow().len()
    }

    fn advance(&self, cycles: u64) {
        self.tsc.set(self.tsc.get() + cycles);
    }
}

impl Platform for Host<'_> {
    fn queue(&self) -> Queue<'_> {
        Queue::EMPTY
    }

    fn halt(&self) {}
    fn kick(&self, _: u32) {}
    fn now_ns(&self) -> u64 {
        0
    }
    fn clear_event(&self, _: u32) {}
    fn is_event_pending(&self, _: u32) -> bool {
        false
    }
    fn poll_event(&self, _: u32) {}
    fn send_event(&self, _: u32) {}

    fn now_tsc(&self) -> u64 {
        self.tsc.get()
    }

    fn spin_exit(&self, reason: SpinExit) {
        self.exits.borrow_mut().push(reason);
        if let Some(act) = &self.at_exit {
            act();
        }
    }
}

/// One CPU in its spin loop.
struct Spinner<'a> {
    handshake: Handshake<'a>,
    host: Host<'a>,
    me: PerCpu,
}

/// The lock it waits for.
static LOCK: AtomicU64 = AtomicU64::new(0);

fn lock() -> LockAddress {
    LockAddress::of(&LOCK)
}

impl<'a> Spinner<'a> {
    fn new(page: &Page, slots: &'a [HandshakeSlot]) -> Self {
        publish(page, slots, 0x5000);
        Self {
            handshake: Handshake::new(page, slots, 1, 300).unwrap(),
            host: Host::default(),
            me: PerCpu::new(),
        }
    }

    /// One PAUSE, `cycles` after the last.
    fn pause(&self, cycles: u64) -> Patience {
        self.host.advance(cycles);
        self.handshake.spun(&self.host, &self.me, lock(), 6, 4)
    }

    fn pauses(&self, pauses: u32) -> usize {
        (0..pauses).for_each(|_| {
            self.pause(1);
        });
        self.host.exits()
    }
}

#[test]
fn a_host_that_asks_for_nothing_gets_nothing() {
    let slots = slots();
    for host in [0, 1 << 31] {
        let page = page(host);
        assert!(!is_asked_for(&page) && !watches_holders(&page));
        assert!(Handshake::new(&page, &slots, 0, 0).is_none());
    }
    let page = page(HOST_READS_SLOTS);
    let none: &[HandshakeSlot] = &[];
    assert!(Handshake::new(&page, none, 0, 0).is_none());
}

#[test]
fn a_gap_of_0_switches_spin_exits_off_and_nothing_else() {
    let page = page(HOST_SPIN_EXITS);
    page.gap_cycles.store(0, Relaxed);
    assert!(!is_asked_for(&page));
    page.host.store(HOST_SPIN_EXITS | HOST_READS_SLOTS, Relaxed);
    let slots = slots();
    let spinner = Spinner::new(&page, &slots);
    assert_eq!(spinner.pauses(10 * WINDOW), 0);
    assert_ne!(slots[1].waiting_lock.load(Relaxed), 0);
}

#[test]
fn slots_are_shown_with_the_first_window_and_nobodys_id() {
    let (page, slots) = (page(HOST_SPIN_EXITS), slots());
    publish(&page, &slots, 0x5000);
    assert_eq!(page.slot_count.load(Relaxed), 2);
    assert_eq!(page.slots_gpa.load(Relaxed), 0x5000);
    for slot in &slots {
        assert_eq!(slot.apic_id.load(Relaxed), APIC_ID_NONE);
        assert_eq!(slot.window_pauses.load(Relaxed), WINDOW);
    }
    Handshake::new(&page, &slots, 1, 300).unwrap();
    assert_eq!(slots[1].apic_id.load(Relaxed), 300);
}

#[test]
fn a_loop_is_left_after_each_window_of_pauses() {
    let slots = slots();
    let spinner = Spinner::new(&page(HOST_SPIN_EXITS), &slots);
    assert_eq!(spinner.pauses(WINDOW - 1), 0);
    assert_eq!(spinner.pauses(1), 1);
    assert_eq!(spinner.pauses(2 * WINDOW), 3);
    assert_eq!(*spinner.host.exits.borrow(), [SpinExit::Spinning; 3]);
    assert_eq!(spinner.me.spin_exits.load(Relaxed), 3);
}

#[test]
fn before_it_leaves_the_cpu_says_what_it_waits_for() {
    let slots = slots();
    let seen = Cell::new((0, 0, 0));
    let mut spinner = Spinner::new(&page(HOST_SPIN_EXITS), &slots);
    spinner.host.at_exit = Some(Box::new(|| {
        let slot = &slots[1];
        let ticket = slot.ticket.load(Relaxed);
        let serving = slot.serving.load(Relaxed);
        seen.set((slot.waiting_lock.load(Relaxed), ticket, serving));
    }));
    spinner.pauses(WINDOW);
    assert_eq!(seen.get(), (lock().get(), 6, 4));
}

#[test]
fn pauses_further_apart_than_the_gap_are_two_loops() {
    let slots = slots();
    let spinner = Spinner::new(&page(HOST_SPIN_EXITS), &slots);
    for _ in 0..10 * WINDOW {
        spinner.pause(u64::from(GAP) + 1);
    }
    assert_eq!(spinner.host.exits(), 0);
    // As far apart as that they are one.
    for _ in 0..WINDOW - 1 {
        spinner.pause(u64::from(GAP));
    }
    assert_eq!(spinner.host.exits(), 1);
}

#[test]
fn a_loop_goes_on_over_waits_that_follow_closely() {
    let slots = slots();
    let spinner = Spinner::new(&page(HOST_SPIN_EXITS | HOST_READS_SLOTS), &slots);
    for _ in 0..WINDOW {
        spinner.pause(1);
        spinner.handshake.taken(&spinner.host, lock());
        spinner.handshake.releasing(&spinner.host);
    }
    assert_eq!(spinner.host.exits(), 1);
}

#[test]
fn a_window_that_the_host_changes_holds_at_once() {
    let slots = slots();
    let spinner = Spinner::new(&page(HOST_SPIN_EXITS), &slots);
    spinner.pauses(WINDOW - 1);
    slots[1].window_pauses.store(2 * WINDOW, Relaxed);
    assert_eq!(spinner.pauses(WINDOW), 0);
    slots[1].window_pauses.store(2, Relaxed);
    assert_eq!(spinner.pauses(1), 1);
    assert_eq!(spinner.pauses(2), 2);
    // Not a window that any host asks for, and no reason to spin for ever.
    slots[1].window_pauses.store(0, Relaxed);
    assert_eq!(spinner.pauses(1), 3);
}

#[test]
fn a_wait_is_announced_with_its_first_pause_and_taken_back_with_the_lock() {
    let slots = slots();
    let spinner = Spinner::new(&page(HOST_READS_SLOTS), &slots);
    let slot = &slots[1];
    spinner.pause(1);
    assert_eq!(slot.waiting_lock.load(Relaxed), lock().get());
    assert_eq!(slot.ticket.load(Relaxed), 6);
    assert_eq!(slot.holding_lock.load(Relaxed), 0);
    spinner.handshake.taken(&spinner.host, lock());
    assert_eq!(slot.waiting_lock.load(Relaxed), 0);
    assert_eq!(slot.holding_lock.load(Relaxed), lock().get());
    spinner.handshake.releasing(&spinner.host);
    assert_eq!(slot.holding_lock.load(Relaxed), 0);
    assert_eq!(spinner.host.exits(), 0);
}

#[test]
fn advice_ends_the_patience_of_one_wait_once() {
    let slots = slots();
    let spinner = Spinner::new(&page(HOST_ADVISES), &slots);
    assert_eq!(spinner.pause(1), Patience::Left);
    slots[1].advice.store(ADVICE_HALT, Relaxed);
    assert_eq!(spinner.pause(1), Patience::Gone);
    assert_eq!(spinner.pause(1), Patience::Left);

    slots[1].advice.store(ADVICE_HALT, Relaxed);
    spinner.handshake.taken(&spinner.host, lock());
    // It was for the wait that has ended.
    assert_eq!(spinner.pause(1), Patience::Left);
}

#[test]
fn advice_of_a_host_that_does_not_advise_is_not_looked_at() {
    let slots = slots();
    let spinner = Spinner::new(&page(HOST_READS_SLOTS), &slots);
    spinner.pause(1);
    slots[1].advice.store(ADVICE_HALT, Relaxed);
    assert_eq!(spinner.pause(1), Patience::Left);
}

#[test]
fn advice_in_a_spin_exit_is_taken_at_once() {
    let slots = slots();
    let mut spinner = Spinner::new(&page(HOST_SPIN_EXITS | HOST_ADVISES), &slots);
    spinner.host.at_exit = Some(Box::new(|| {
        slots[1].advice.store(ADVICE_HALT, Relaxed);
    }));
    let answers: Vec<_> = (0..WINDOW).map(|_| spinner.pause(1)).collect();
    assert_eq!(answers.last(), Some(&Patience::Gone));
    assert_eq!(
        answers
            .iter()
            .filter(|&&answer| answer == Patience::Gone)
            .count(),
        1
    );
}

/// Exits after `turns` acquires and releases with these shares.
fn exits_at(host: u32, acquire: u32, release: u32, turns: usize) -> Vec<SpinExit> {
    let (page, slots) = (page(host), slots());
    page.exit_at_acquire.store(acquire, Relaxed);
    page.exit_at_release.store(release, Relaxed);
    let spinner = Spinner::new(&page, &slots);
    for _ in 0..turns {
        spinner.handshake.taken(&spinner.host, lock());
        spinner.handshake.releasing(&spinner.host);
    }
    spinner.host.exits.take()
}

#[test]
fn acquires_and_releases_leave_at_their_shares_the_same_for_the_same_seed() {
    use SpinExit::{Acquired, Releasing};
    assert_eq!(
        exits_at(HOST_PREEMPTS, u32::MAX, u32::MAX, 2),
        [Acquired, Releasing, Acquired, Releasing]
    );
    assert_eq!(exits_at(HOST_PREEMPTS, 0, u32::MAX, 2), [Releasing; 2]);
    assert_eq!(exits_at(HOST_PREEMPTS, 0, 0, 100), []);
    assert_eq!(exits_at(HOST_READS_SLOTS, u32::MAX, u32::MAX, 100), []);
    let tenth = exits_at(HOST_PREEMPTS, u32::MAX / 10, 0, 10_000);
    assert!((900..1100).contains(&tenth.len()), "{}", tenth.len());
    assert_eq!(tenth, exits_at(HOST_PREEMPTS, u32::MAX / 10, 0, 10_000));
}

#[test]
fn seeds_and_cpus_next_to_each_other_draw_differently() {
    let states: std::collections::BTreeSet<u64> = (0..8)
        .flat_map(|seed| (0..8).map(move |cpu| first_state(seed, cpu) | 1))
        .collect();
    // A seed and the next have no CPUs in common either.
    assert_eq!(states.len(), 64);
    let zero = 0_u64.wrapping_sub(0x9e37_79b9_7f4a_7c15);
    assert_eq!(first_state(zero, 0), 1, "never 0");
}

#[test]
fn a_wait_in_an_unlock_is_over_outside_all_locks() {
    let slots = slots();
    let spinner = Spinner::new(&page(HOST_READS_SLOTS), &slots);
    spinner.handshake.taken(&spinner.host, lock());
    spinner.handshake.releasing(&spinner.host);
    spinner.pause(1);
    assert_eq!(slots[1].waiting_lock.load(Relaxed), lock().get());
    spinner.handshake.outside(&spinner.host);
    assert_eq!(slots[1].waiting_lock.load(Relaxed), 0);
}

#[test]
fn the_holder_is_known_while_the_host_preempts_it() {
    let (page, slots) = (page(HOST_PREEMPTS | HOST_READS_SLOTS), slots());
    page.exit_at_acquire.store(u32::MAX, Relaxed);
    page.exit_at_release.store(u32::MAX, Relaxed);
    let held = RefCell::new(Vec::new());
    let mut spinner = Spinner::new(&page, &slots);
    spinner.host.at_exit = Some(Box::new(|| {
        held.borrow_mut().push(slots[1].holding_lock.load(Relaxed));
    }));
    spinner.handshake.taken(&spinner.host, lock());
    spinner.handshake.releasing(&spinner.host);
    assert_eq!(*held.borrow(), [lock().get(); 2]);
}

/// The whole way: a PV lock whose spinner is told that its holder is off its pCPU halts long before
/// its threshold.
#[test]
fn an_advised_waiter_goes_to_the_slow_path_before_its_threshold() {
    let (page, slots) = (page(HOST_SPIN_EXITS | HOST_ADVISES), slots());
    publish(&page, &slots, 0x5000);
    let cpus = [PerCpu::new(), PerCpu::new()];
    let waiting_cpus = WaitingCpus::new();
    let lock = PvTicketHead::<U8>::INIT;
    let holder_side = Host::default();
    let holder = Cpu::new(0, &cpus, &waiting_cpus, Backend::Kvm, 1, holder_side).unwrap();
    lock.lock(&holder);
    // Released only once the waiter has been in its slow path: at the exit after its halt.
    let waiter_side = Host {
        at_exit: Some(Box::new(|| match cpus[1].halts.load(Relaxed) {
            0 => slots[1].advice.store(ADVICE_HALT, Relaxed),
            _ => lock.unlock(&holder),
        })),
        ..Host::default()
    };
    let waiter = Cpu::new(1, &cpus, &waiting_cpus, Backend::Kvm, u32::MAX, waiter_side)
        .unwrap()
        .with_handshake(Handshake::new(&page, &slots, 1, 0));
    assert_eq!(lock.lock(&waiter), 2);
    assert_eq!(cpus[1].halts.load(Relaxed), 1);
    assert_eq!(waiter.platform().exits(), 2);
}
