use proptest::prelude::*;

use super::*;
use crate::pv::apic_id::VcpuIndex;
use crate::pv::recorder::HostEvent;
use crate::trace::recording::Locks;

/// APIC IDs are not indices.
const APIC_IDS: [u32; 3] = [0, 4, 9];
const LOCK: u64 = 0x20_0000;

/// A recording of 3 vCPUs, made event by event.
struct Scene(Recording);

impl Scene {
    fn new(halt_in: HaltIn) -> Self {
        let track = |apic_id| Track {
            apic_id,
            ..Track::default()
        };
        Self(Recording {
            start: 0,
            end: 1_000_000,
            tsc_khz: 1_000_000,
            halt_in,
            vcpus: APIC_IDS.into_iter().map(track).collect(),
            rekicks: 0,
            locks: Locks::default(),
        })
    }

    fn host(&mut self, vcpu: usize, tsc: u64, what: HostStep) {
        self.0.vcpus[vcpu].host.push(HostEvent { tsc, what });
    }

    fn kick(&mut self, from: usize, tsc: u64, number: u64, to: usize) {
        let destination = APIC_IDS[to];
        let what = HostStep::Kick {
            number,
            destination,
        };
        self.host(from, tsc, what);
    }

    fn unhalt(&mut self, from: usize, (tsc, done): (u64, u64), number: u64, to: u32, fate: Fate) {
        let what = HostStep::Unhalt {
            number,
            target: VcpuIndex(to),
            fate,
            done,
        };
        self.host(from, tsc, what);
    }

    fn guest(&mut self, vcpu: usize, tsc: u64, step: GuestStep, ticket: u32) {
        self.0.vcpus[vcpu].guest.events.push(GuestEvent {
            tsc,
            step,
            lock: LOCK,
            ticket,
            target: 0,
        });
    }

    fn unlock(&mut self, vcpu: usize, tsc: u64, ticket: u32, to: usize) {
        self.guest(vcpu, tsc, GuestStep::Unlock, ticket);
        let unlock = self.0.vcpus[vcpu].guest.events.last_mut().unwrap();
        unlock.target = APIC_IDS[to];
    }

    /// vCPU 1 waits in its slow path for `ticket`, and is halted from `halted` to `woke`.
    fn wait(&mut self, ticket: u32, halted: u64, woke: u64) {
        self.guest(1, halted - 2, GuestStep::Enter, ticket);
        self.guest(1, halted - 1, GuestStep::Halt, ticket);
        self.host(1, halted, HostStep::Halted);
        if self.0.halt_in == HaltIn::Vmm {
            self.host(1, woke, HostStep::Woke);
            self.host(1, woke + 1, HostStep::Runs);
        }
        self.guest(1, woke + 2, GuestStep::Awake, ticket);
    }

    fn join(&self) -> Joined {
        let joined = join(&self.0);
        assert!(joined.lives.iter().all(Life::is_ordered), "{joined:?}");
        joined
    }

    fn only(&self) -> Life {
        let mut joined = self.join();
        assert_eq!(joined.lives.len(), 1, "{joined:?}");
        joined.lives.remove(0)
    }
}

/// vCPU 0 kicks vCPU 1, which is halted, for ticket 6.
fn usual(halt_in: HaltIn) -> Scene {
    let mut scene = Scene::new(halt_in);
    scene.wait(6, 100, 203);
    scene.unlock(0, 200, 6, 1);
    scene.kick(0, 201, 7, 1);
    scene.unhalt(0, (202, 210), 7, 1, Fate::ToHalted);
    scene.guest(1, 220, GuestStep::Acquire, 6);
    scene
}

#[test]
fn a_kick_is_followed_from_unlock_to_acquire() {
    for (halt_in, wake) in [(HaltIn::Vmm, 203), (HaltIn::Kvm, 202)] {
        let joined = usual(halt_in).join();
        let life = &joined.lives[0];
        let run = Run::InGuest(205);
        assert_eq!((life.unlock, life.kick), (Some(200), Some(201)));
        assert_eq!((life.wake, life.run), (Some(wake), Some(run)));
        assert_eq!(life.acquire, Some(220));
        assert_eq!((life.from, life.to, life.number), (0, Some(1), Some(7)));
        assert_eq!(life.waited_for, Some((LOCK, 6)));
        assert_eq!(life.outcome, Outcome::Acquired);
        assert!(life.is_whole());
        assert_eq!(joined.unexplained_wakes, 0);
        assert_eq!(joined.kicks_without_wake, 0);
    }
}

#[test]
fn without_the_guests_side_the_host_tells_kick_wake_and_run() {
    let mut scene = usual(HaltIn::Vmm);
    for track in &mut scene.0.vcpus {
        track.guest.events.clear();
    }
    let life = scene.only();
    assert_eq!((life.unlock, life.acquire), (None, None));
    assert_eq!((life.kick, life.wake), (Some(201), Some(203)));
    assert_eq!(life.run, Some(Run::Entered(204)));
    assert_eq!(life.outcome, Outcome::Open);
}

#[test]
fn where_kvm_halts_a_later_exit_tells_that_the_target_ran() {
    let mut scene = usual(HaltIn::Kvm);
    scene.host(1, 300, HostStep::Seen);
    for track in &mut scene.0.vcpus {
        track.guest.events.clear();
    }
    let life = scene.only();
    assert_eq!(
        (life.wake, life.run),
        (Some(202), Some(Run::SeenAfter(300)))
    );
}

#[test]
fn where_kvm_takes_the_kick_the_guest_tells_unlock_run_and_acquire() {
    let mut scene = Scene::new(HaltIn::Kvm);
    scene.wait(6, 100, 203);
    scene.unlock(0, 200, 6, 1);
    scene.guest(1, 220, GuestStep::Acquire, 6);
    let life = scene.only();
    assert_eq!((life.number, life.to, life.kick), (None, Some(1), None));
    assert_eq!(life.run, Some(Run::InGuest(205)));
    assert_eq!(life.acquire, Some(220));
}

#[test]
fn a_release_belongs_to_the_next_kick_of_its_cpu_and_to_no_other() {
    let mut scene = Scene::new(HaltIn::Vmm);
    // Its kick is lost, a kick without release, a release with its kick.
    scene.unlock(0, 10, 2, 1);
    scene.unlock(0, 20, 4, 1);
    scene.kick(0, 21, 5, 1);
    scene.kick(0, 30, 6, 2);
    scene.unlock(0, 40, 8, 2);
    scene.kick(0, 41, 7, 2);
    let lives = scene.join().lives;
    let of = |number| {
        let life = lives.iter().find(|life| life.number == Some(number));
        life.unwrap().unlock
    };
    assert_eq!((of(5), of(6), of(7)), (Some(20), None, Some(40)));
    let alone = lives.iter().find(|life| life.number.is_none()).unwrap();
    assert_eq!((alone.unlock, alone.to), (Some(10), Some(1)));
}

#[test]
fn a_kick_of_another_cpu_than_the_release_names_is_not_its() {
    let mut scene = Scene::new(HaltIn::Vmm);
    scene.unlock(0, 10, 2, 1);
    scene.kick(0, 11, 5, 2);
    let lives = scene.join().lives;
    assert_eq!(lives.len(), 2);
    assert!(lives.iter().all(|life| life.steps().count() == 1));
}

#[test]
fn two_kicks_can_share_a_wake() {
    let mut scene = Scene::new(HaltIn::Vmm);
    scene.wait(6, 100, 250);
    scene.kick(0, 200, 1, 1);
    scene.unhalt(0, (201, 202), 1, 1, Fate::ToHalted);
    scene.kick(2, 210, 2, 1);
    scene.unhalt(2, (211, 212), 2, 1, Fate::ToHalted);
    let joined = scene.join();
    assert!(joined.lives.iter().all(|life| life.wake == Some(250)));
    assert_eq!(joined.unexplained_wakes, 0);
}

#[test]
fn a_kick_noted_before_an_earlier_wake_ends_the_halt_it_met() {
    // Preempted between its note and the unhalt, it meets the second halt.
    let mut scene = Scene::new(HaltIn::Vmm);
    scene.wait(6, 100, 160);
    scene.guest(1, 170, GuestStep::Acquire, 6);
    scene.wait(8, 200, 300);
    scene.kick(0, 165, 1, 1);
    scene.unhalt(0, (166, 290), 1, 1, Fate::ToHalted);
    assert_eq!(scene.only().wake, Some(300));
}

#[test]
fn a_kick_that_comes_when_the_lock_is_taken_is_too_late() {
    let mut scene = Scene::new(HaltIn::Vmm);
    scene.guest(1, 100, GuestStep::Enter, 6);
    scene.unlock(0, 200, 6, 1);
    scene.guest(1, 201, GuestStep::Acquire, 6);
    scene.kick(0, 210, 1, 1);
    scene.unhalt(0, (211, 212), 1, 1, Fate::ToRunning);
    let life = scene.only();
    assert_eq!(life.outcome, Outcome::TooLate);
    assert_eq!(life.acquire, None);
}

#[test]
fn a_kick_whose_lock_somebody_else_took_is_stolen() {
    let mut scene = usual(HaltIn::Vmm);
    let guest = &mut scene.0.vcpus[1].guest.events;
    guest.last_mut().unwrap().step = GuestStep::Enter;
    let life = scene.only();
    assert_eq!(life.outcome, Outcome::Stolen);
    assert_eq!(life.run, Some(Run::InGuest(205)));
}

#[test]
fn the_same_ticket_of_a_later_wait_is_not_this_kicks() {
    let mut scene = Scene::new(HaltIn::Vmm);
    scene.unlock(0, 200, 6, 1);
    scene.kick(0, 201, 1, 1);
    scene.unhalt(0, (202, 203), 1, 1, Fate::ToRunning);
    scene.guest(1, 300, GuestStep::Enter, 8);
    scene.guest(1, 310, GuestStep::Acquire, 8);
    scene.guest(1, 400, GuestStep::Enter, 6);
    scene.guest(1, 410, GuestStep::Acquire, 6);
    assert_eq!(scene.only().acquire, None);
}

#[test]
fn what_reaches_nobody_is_said_to() {
    for fate in [Some(Fate::Dropped), Some(Fate::NotAccepted), None] {
        let mut scene = Scene::new(HaltIn::Vmm);
        scene.wait(6, 100, 500);
        scene.kick(0, 200, 1, 1);
        if let Some(fate) = fate {
            scene.unhalt(0, (201, 202), 1, 1, fate);
        }
        let life = scene.only();
        assert_eq!((life.outcome, life.wake), (Outcome::NotDelivered, None));
    }
}

#[test]
fn a_wake_without_a_kick_is_counted() {
    let mut scene = usual(HaltIn::Vmm);
    scene.wait(8, 400, 500);
    assert_eq!(scene.join().unexplained_wakes, 1);
    scene.0.rekicks = 1;
    assert_eq!(scene.join().unexplained_wakes, 0, "the VMM gave one back");
}

#[test]
fn a_wake_from_before_what_is_left_of_the_kicks_is_not_held_against_anybody() {
    let mut scene = usual(HaltIn::Vmm);
    scene.wait(8, 400, 500);
    scene.kick(2, 600, 9, 0);
    scene.0.vcpus[2].host_lost = 1;
    assert_eq!(scene.join().unexplained_wakes, 0);
}

#[test]
fn a_kick_to_a_halted_vcpu_that_goes_on_sleeping_is_counted() {
    let mut scene = Scene::new(HaltIn::Vmm);
    scene.host(1, 100, HostStep::Halted);
    scene.kick(0, 200, 1, 1);
    scene.unhalt(0, (201, 202), 1, 1, Fate::ToHalted);
    assert_eq!(scene.join().kicks_without_wake, 0, "the trace ends there");
    scene.host(1, 900, HostStep::Halted);
    assert_eq!(scene.join().kicks_without_wake, 1);
}

fn any_host_step() -> impl Strategy<Value = HostStep> {
    let fate = prop_oneof![
        Just(Fate::ToHalted),
        Just(Fate::ToRunning),
        Just(Fate::WaitingForSipi),
        Just(Fate::NotAccepted),
        Just(Fate::Dropped)
    ];
    prop_oneof![
        (0_u64..5, any::<u32>()).prop_map(|(number, destination)| HostStep::Kick {
            number,
            destination
        }),
        (0_u64..5, 0_u32..5, fate, 0_u64..200).prop_map(|(number, target, fate, done)| {
            HostStep::Unhalt {
                number,
                target: VcpuIndex(target),
                fate,
                done,
            }
        }),
        Just(HostStep::Halted),
        Just(HostStep::Woke),
        Just(HostStep::Runs),
        Just(HostStep::Seen),
    ]
}

fn any_guest_event() -> impl Strategy<Value = GuestEvent> {
    (0_u64..200, 1_u32..6, 0_u64..2, 0_u32..3, 0_u32..12).prop_map(
        |(tsc, step, lock, ticket, target)| GuestEvent {
            tsc,
            step: GuestStep::from_u32(step).unwrap(),
            lock,
            ticket,
            target,
        },
    )
}

fn any_track() -> impl Strategy<Value = Track> {
    let host = prop::collection::vec((0_u64..200, any_host_step()), 0..20);
    let guest = prop::collection::vec(any_guest_event(), 0..20);
    (host, guest, 0_u64..2).prop_map(|(mut host, mut guest, host_lost)| {
        host.sort_by_key(|(tsc, _)| *tsc);
        guest.sort_by_key(|event| event.tsc);
        let host = host.into_iter();
        let mut track = Track {
            host: host.map(|(tsc, what)| HostEvent { tsc, what }).collect(),
            host_lost,
            ..Track::default()
        };
        track.guest.events = guest;
        track
    })
}

proptest! {
    /// A guest may note anything.
    #[test]
    fn whatever_was_noted_is_joined_once_and_written(
        mut tracks in prop::collection::vec(any_track(), 3),
        in_kvm: bool,
    ) {
        for (track, apic_id) in tracks.iter_mut().zip(APIC_IDS) {
            track.apic_id = apic_id;
        }
        let mut scene = Scene::new(if in_kvm { HaltIn::Kvm } else { HaltIn::Vmm });
        scene.0.vcpus = tracks;
        let joined = join(&scene.0);
        let count = |is: fn(&HostStep) -> bool| {
            let events = scene.0.vcpus.iter().flat_map(|track| &track.host);
            events.filter(|event| is(&event.what)).count()
        };
        let kicks = count(|what| matches!(what, HostStep::Kick { .. }));
        let numbered = joined.lives.iter().filter(|life| life.number.is_some()).count();
        prop_assert!(numbered >= kicks);
        let unhalts = count(|what| matches!(what, HostStep::Unhalt { .. }));
        prop_assert!(numbered <= kicks + unhalts);
        let unlocks = scene.0.vcpus.iter().flat_map(|track| &track.guest.events);
        let unlocks = unlocks.filter(|event| event.step == GuestStep::Unlock).count();
        let mut released: Vec<_> = joined.lives.iter()
            .filter_map(|life| Some((life.from, life.number, life.unlock?)))
            .collect();
        // A broadcast has several lives.
        released.dedup_by_key(|(from, number, unlock)| (*from, number.map_or(u64::MAX, |_| 0), *unlock));
        prop_assert!(released.len() <= unlocks.max(numbered));
        let summary = crate::trace::summary::Summary::new(&scene.0, &joined);
        let mut file = Vec::new();
        super::super::chrome::write(&mut file, &scene.0, &joined, &summary).unwrap();
        let parsed: serde_json::Value = serde_json::from_slice(&file).unwrap();
        prop_assert!(parsed["traceEvents"].is_array());
    }
}
