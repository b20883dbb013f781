use std::mem::offset_of;

use guest_payload::abi::handshake::{
    ADVICE_GIVE_BACK, ADVICE_HALT, ADVICE_NONE, HANDSHAKE_MAGIC, HANDSHAKE_VERSION, Handshake,
    HandshakeSlot,
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::*;
use crate::memory::{self, MemorySize};
use crate::ple::config::Window;
use crate::sched::config::{Adversary, PolicyKind, PreemptAt, PreemptHolder, Sched, TokenSched};

const PAGE: u64 = 0x1000;
const SLOTS: u64 = 0x2000;
const SPINNING: u8 = 0;
const ACQUIRED: u8 = 1;
const RELEASING: u8 = 2;
const RELEASED: u8 = 3;

/// A scheduler that remembers who yielded to whom.
#[derive(Debug)]
struct Fake {
    standings: Mutex<Vec<Standing>>,
    yields: Mutex<Vec<(usize, usize)>>,
    answer: Yielded,
}

impl Pcpus for Fake {
    fn count(&self) -> usize {
        self.standings.lock().unwrap().len()
    }

    fn standing(&self, vcpu: usize) -> Standing {
        self.standings.lock().unwrap()[vcpu]
    }

    fn yield_to(&self, from: usize, to: usize) -> Yielded {
        self.yields.lock().unwrap().push((from, to));
        self.answer
    }
}

struct Scene {
    memory: GuestMemoryMmap,
    pcpus: Arc<Fake>,
    spin: SpinService,
}

impl Scene {
    fn new(lab: &Lab, standings: &[Standing], answer: Yielded) -> Self {
        let memory = memory::map(MemorySize::from_mib(2)).unwrap();
        let pcpus = Arc::new(Fake {
            standings: Mutex::new(standings.to_vec()),
            yields: Mutex::default(),
            answer,
        });
        let ids: Vec<u32> = (0..).take(standings.len()).collect();
        let slots = Slots::new(memory.clone(), PAGE, &ids);
        let spin = SpinService::new(lab, ids.len(), slots, Some(pcpus.clone()));
        let scene = Self {
            memory,
            pcpus,
            spin,
        };
        scene.put(PAGE, offset_of!(Handshake, magic), HANDSHAKE_MAGIC);
        scene.put(PAGE, offset_of!(Handshake, version), HANDSHAKE_VERSION);
        let count = u32::try_from(ids.len()).unwrap();
        scene.put(PAGE, offset_of!(Handshake, slot_count), count);
        scene.put(PAGE, offset_of!(Handshake, slots_gpa), SLOTS);
        for id in ids {
            scene.put(slot(id), offset_of!(HandshakeSlot, apic_id), id);
        }
        scene
    }

    fn put<T: vm_memory::ByteValued>(&self, at: u64, offset: usize, value: T) {
        let at = GuestAddress(at + offset as u64);
        self.memory.write_obj(value, at).unwrap();
    }

    fn get(&self, vcpu: u32, offset: usize) -> u32 {
        let at = GuestAddress(slot(vcpu) + offset as u64);
        self.memory.read_obj(at).unwrap()
    }

    fn window(&self, vcpu: u32) -> u32 {
        self.get(vcpu, offset_of!(HandshakeSlot, window_pauses))
    }

    fn left(&self, vcpu: usize, reason: u8) -> Then {
        self.spin.left(vcpu, reason, |_| false, || 0)
    }

    fn yields(&self) -> Vec<(usize, usize)> {
        std::mem::take(&mut *self.pcpus.yields.lock().unwrap())
    }
}

fn slot(vcpu: u32) -> u64 {
    SLOTS + u64::from(vcpu) * size_of::<HandshakeSlot>() as u64
}

fn soft(on_spin: OnSpin) -> Lab {
    let window = Window {
        window: 100,
        ..Window::DEFAULT
    };
    Lab {
        ple: Ple::Soft(window),
        on_spin,
        ..Lab::default()
    }
}

const RUNS_AND_TWO_WAIT: [Standing; 3] =
    [Standing::OnPcpu, Standing::Preempted, Standing::Preempted];

#[test]
fn a_window_grows_at_each_exit_and_is_the_base_again_on_the_next_pcpu() {
    let scene = Scene::new(&soft(OnSpin::None), &RUNS_AND_TWO_WAIT, Yielded::HandedOver);
    assert_eq!(scene.left(0, SPINNING), Then::GoOn);
    assert_eq!(scene.window(0), 200);
    scene.left(0, SPINNING);
    assert_eq!(scene.window(0), 400);
    scene.spin.gets_pcpu(0);
    assert_eq!(scene.window(0), 100);
    assert_eq!(scene.spin.windows(), Some((100, 400)));
}

#[test]
fn a_spinner_yields_as_its_handler_says_and_the_next_walk_begins_behind() {
    let lab = soft(OnSpin::KickYield);
    let scene = Scene::new(&lab, &RUNS_AND_TWO_WAIT, Yielded::HandedOver);
    assert_eq!(scene.left(0, SPINNING), Then::GoOn);
    scene.spin.gets_pcpu(0);
    scene.left(0, SPINNING);
    assert_eq!(scene.yields(), [(0, 1), (0, 2)]);
    assert_eq!(scene.spin.stats().yielded.load(Relaxed), 2);
}

#[test]
fn who_has_yielded_counts_as_spinning_until_it_has_a_pcpu_again() {
    let lab = soft(OnSpin::DyEligible);
    let standings = [Standing::Preempted, Standing::OnPcpu];
    let scene = Scene::new(&lab, &standings, Yielded::HandedOver);
    scene.spin.vcpus[0].in_spin_loop.store(true, Relaxed);
    scene.left(1, SPINNING);
    assert_eq!(scene.yields(), [], "passed over the first time");
    scene.left(1, SPINNING);
    assert_eq!(scene.yields(), [(1, 0)]);
    scene.spin.gets_pcpu(0);
    scene.left(1, SPINNING);
    assert_eq!(scene.yields(), [(1, 0)], "it does not spin any more");
}

#[test]
fn a_yield_that_comes_too_late_is_followed_by_another_but_not_for_ever() {
    let lab = soft(OnSpin::KickYield);
    let standings = [&RUNS_AND_TWO_WAIT[..], &[Standing::Preempted; 4]].concat();
    let scene = Scene::new(&lab, &standings, Yielded::NotWaiting);
    assert_eq!(scene.left(0, SPINNING), Then::GoOn);
    assert_eq!(scene.yields(), [(0, 1), (0, 2), (0, 3)]);
    assert_eq!(scene.spin.stats().too_late.load(Relaxed), 3);
    assert_eq!(scene.spin.stats().nobody.load(Relaxed), 1);
}

#[test]
fn a_vcpu_sleeps_without_its_pcpu() {
    let scene = Scene::new(
        &soft(OnSpin::Sleep),
        &RUNS_AND_TWO_WAIT,
        Yielded::HandedOver,
    );
    assert_eq!(
        scene.left(0, SPINNING),
        Then::StayOff(Duration::from_micros(100))
    );
}

#[test]
fn what_the_guest_says_reaches_the_handshake_and_its_advice_the_guest() {
    let lab = soft(OnSpin::Handshake);
    let standings = [Standing::OnPcpu, Standing::Preempted, Standing::Preempted];
    let scene = Scene::new(&lab, &standings, Yielded::HandedOver);
    let waits = |vcpu, ticket: u32| {
        scene.put(slot(vcpu), offset_of!(HandshakeSlot, ticket), ticket);
        scene.put(
            slot(vcpu),
            offset_of!(HandshakeSlot, waiting_lock),
            0x9000_u64,
        );
    };
    waits(0, 7);
    waits(1, 9);
    let holding = offset_of!(HandshakeSlot, holding_lock);
    scene.put(slot(2), holding, 0x9000_u64);
    scene.left(0, SPINNING);
    assert_eq!(scene.yields(), [(0, 2)], "the holder, not the later waiter");

    scene.pcpus.standings.lock().unwrap()[2] = Standing::Away;
    scene.left(0, SPINNING);
    assert_eq!(scene.yields(), []);
    assert_eq!(scene.get(0, offset_of!(HandshakeSlot, advice)), ADVICE_HALT);
}

/// vCPU 0 waits for a lock that vCPU 1 holds, which waits for a pCPU.
fn lending(yielded: Yielded) -> Scene {
    let standings = [Standing::OnPcpu, Standing::Preempted];
    let scene = Scene::new(&soft(OnSpin::Handshake), &standings, yielded);
    scene.put(slot(0), offset_of!(HandshakeSlot, ticket), 7_u32);
    scene.put(slot(0), offset_of!(HandshakeSlot, waiting_lock), 0x9000_u64);
    scene.put(slot(1), offset_of!(HandshakeSlot, holding_lock), 0x9000_u64);
    scene
}

#[test]
fn a_pcpu_that_was_lent_comes_back_when_its_borrower_is_outside_all_locks() {
    let scene = lending(Yielded::HandedOver);
    scene.left(0, SPINNING);
    assert_eq!(
        scene.get(1, offset_of!(HandshakeSlot, advice)),
        ADVICE_GIVE_BACK
    );
    scene.spin.gets_pcpu(1);
    scene.left(1, RELEASED);
    assert_eq!(scene.yields(), [(0, 1), (1, 0)]);
    scene.left(1, RELEASED);
    assert_eq!(scene.yields(), [], "once");

    scene.left(0, SPINNING);
    scene.spin.gets_pcpu(0);
    scene.left(1, RELEASED);
    assert_eq!(scene.yields(), [(0, 1)], "its lender has another pCPU");
}

#[test]
fn the_handshakes_windows_grow_only_so_far() {
    let lab = soft(OnSpin::Handshake);
    let scene = Scene::new(&lab, &RUNS_AND_TWO_WAIT, Yielded::HandedOver);
    for _ in 0..20 {
        scene.left(0, SPINNING);
    }
    assert_eq!(scene.window(0), 1600);
    let most = scene.spin.windows().map(|(_, most)| most);
    assert_eq!(most, Some(1600), "not even for a moment");
}

#[test]
fn a_loan_that_its_borrower_has_lost_is_not_given_back() {
    let scene = lending(Yielded::HandedOver);
    scene.left(0, SPINNING);
    scene.spin.gets_pcpu(1);
    // Its slice ends, and later it has another.
    scene.spin.gets_pcpu(1);
    assert_eq!(scene.get(1, offset_of!(HandshakeSlot, advice)), ADVICE_NONE);
    scene.left(1, RELEASED);
    assert_eq!(scene.yields(), [(0, 1)]);
}

#[test]
fn a_loan_that_was_not_made_leaves_no_advice() {
    let scene = lending(Yielded::NotWaiting);
    scene.left(0, SPINNING);
    let advice = offset_of!(HandshakeSlot, advice);
    assert_eq!(scene.get(1, advice), ADVICE_NONE);
    // Another's stays.
    scene.spin.lend(7, 1);
    scene.left(0, SPINNING);
    assert_eq!(scene.get(1, advice), ADVICE_GIVE_BACK);
}

#[test]
fn holders_and_releasers_lose_their_pcpus_only_where_asked() {
    let hold = Duration::from_millis(7);
    let adversarial = |at| Lab {
        sched: Sched::Tokens(TokenSched {
            policy: PolicyKind::Adversarial(Adversary { at, rate: 1.0 }),
            pcpus: 1,
            slice: Duration::from_millis(3),
            seed: 1,
        }),
        ..Lab::default()
    };
    let preempt_holder = Lab {
        preempt_holder: Some(PreemptHolder { rate: 1.0, hold }),
        ..adversarial(PreemptAt::Release)
    };
    for (lab, at_acquire, at_release) in [
        (
            adversarial(PreemptAt::Acquire),
            Then::BePreempted,
            Then::GoOn,
        ),
        (
            adversarial(PreemptAt::Release),
            Then::GoOn,
            Then::BePreempted,
        ),
        (preempt_holder, Then::StayOff(hold), Then::BePreempted),
        (Lab::default(), Then::GoOn, Then::GoOn),
    ] {
        let scene = Scene::new(&lab, &RUNS_AND_TWO_WAIT, Yielded::HandedOver);
        assert_eq!(scene.left(0, ACQUIRED), at_acquire);
        assert_eq!(scene.left(0, RELEASING), at_release);
        assert_eq!(scene.yields(), []);
    }
}

#[test]
fn only_who_has_lost_a_pcpu_counts_as_preempted() {
    let lab = Lab {
        sched: Sched::Tokens(TokenSched {
            policy: PolicyKind::Adversarial(Adversary {
                at: PreemptAt::Acquire,
                rate: 1.0,
            }),
            pcpus: 2,
            slice: Duration::from_millis(3),
            seed: 1,
        }),
        ..Lab::default()
    };
    for (other, lost) in [
        (Standing::OnPcpu, 0),
        (Standing::Halted, 0),
        (Standing::Preempted, 1),
        (Standing::Kicked, 1),
    ] {
        let scene = Scene::new(&lab, &[Standing::OnPcpu, other], Yielded::HandedOver);
        scene.left(0, ACQUIRED);
        assert_eq!(
            scene.spin.stats().preempted.load(Relaxed),
            lost,
            "{other:?}"
        );
    }
}

#[test]
fn nonsense_from_the_guest_is_counted_and_nothing_else() {
    let lab = soft(OnSpin::KickYield);
    let scene = Scene::new(&lab, &RUNS_AND_TWO_WAIT, Yielded::HandedOver);
    assert_eq!(scene.left(0, 77), Then::GoOn);
    assert_eq!(scene.left(99, SPINNING), Then::GoOn);
    assert_eq!(scene.yields(), []);
    assert_eq!(scene.spin.stats().unknown.load(Relaxed), 1);
}

#[test]
fn where_the_host_schedules_a_switch_of_the_thread_shrinks_the_window() {
    let scene = Scene::new(
        &soft(OnSpin::None),
        &[Standing::OnPcpu],
        Yielded::HandedOver,
    );
    let slots = Slots::new(scene.memory.clone(), PAGE, &[0]);
    let spin = SpinService::new(&soft(OnSpin::None), 1, slots, None);
    let left_after = |switches| {
        spin.left(0, SPINNING, |_| false, || switches);
        scene.window(0)
    };
    assert_eq!(left_after(5), 200);
    assert_eq!(left_after(5), 400, "nothing came between");
    assert_eq!(left_after(6), 200, "back to the base, then grown");
}
