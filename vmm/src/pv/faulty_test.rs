use std::sync::Arc;
use std::time::Duration;

use super::super::apic_id::{ApicIds, ApicMode, BroadcastQuirk, Destination};
use super::super::kick::{Delivery, Fate, KickService, Unhalted, Waker};
use super::*;
use crate::pv::recorder::Tracer;

/// Who was woken, in order.
#[derive(Clone, Debug, Default)]
struct Woken(Arc<Mutex<Vec<u32>>>);

impl Waker for Woken {
    fn unhalt(&self, vcpu: VcpuIndex, _: u32) -> Unhalted {
        self.0.lock().unwrap().push(vcpu.0);
        Unhalted::WasHalted
    }

    fn apic_mode(&self, _: VcpuIndex) -> ApicMode {
        ApicMode::X2Apic
    }
}

impl Woken {
    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

const NONE: KickFaults = KickFaults {
    drop: 0.0,
    dup: 0.0,
    misroute: 0.0,
    delay: Duration::ZERO,
};
const NOBODY: [u32; 0] = [];
const TO_1: Destination = Destination::from_a1(1);
const FROM_0: Kicker = Kicker::Vcpu(VcpuIndex(0));

fn service(vcpus: u32, faults: KickFaults) -> (KickService, Woken) {
    let woken = Woken::default();
    let ids = ApicIds::new(0..vcpus, BroadcastQuirk::Enabled).unwrap();
    let faulty = FaultyKicks::new(faults, 1, vcpus).unwrap();
    let waker = Box::new(woken.clone());
    let service = KickService::new((0..vcpus).collect(), ids, waker, None, Tracer::off());
    (service.with_faults(Some(faulty)), woken)
}

fn fate(service: &KickService) -> Fate {
    service.last_kick(VcpuIndex(1)).unwrap().fate
}

#[test]
fn a_swallowed_kick_wakes_nobody_and_the_hang_report_knows() {
    let (service, woken) = service(4, KickFaults { drop: 1.0, ..NONE });
    assert_eq!(service.kick(FROM_0, TO_1), Delivery::Dropped);
    assert_eq!(woken.take(), NOBODY);
    assert_eq!(fate(&service), Fate::Swallowed);
}

#[test]
fn a_kick_that_is_doubled_wakes_its_target_twice() {
    let (service, woken) = service(4, KickFaults { dup: 1.0, ..NONE });
    assert_eq!(service.kick(FROM_0, TO_1), Delivery::Delivered(1));
    assert_eq!(woken.take(), [1, 1]);
    assert_eq!(fate(&service), Fate::ToHalted);
}

#[test]
fn a_kick_that_goes_astray_wakes_another_than_its_target() {
    let (service, woken) = service(
        4,
        KickFaults {
            misroute: 1.0,
            ..NONE
        },
    );
    for _ in 0..50 {
        assert_eq!(service.kick(FROM_0, TO_1), Delivery::Delivered(0));
    }
    let woken = woken.take();
    assert_eq!(woken.len(), 50);
    assert!(
        woken.iter().all(|vcpu| *vcpu < 4 && *vcpu != 1),
        "{woken:?}"
    );
    assert_eq!(fate(&service), Fate::Misrouted);
}

#[test]
fn a_lone_vcpu_gets_its_own_kicks() {
    let (service, woken) = service(
        1,
        KickFaults {
            misroute: 1.0,
            ..NONE
        },
    );
    service.kick(Kicker::Vmm, Destination::from_a1(0));
    assert_eq!(woken.take(), [0]);
}

#[test]
fn a_late_kick_comes_when_its_time_has_come_and_in_order() {
    let delay = Duration::from_nanos(1);
    let (service, woken) = service(4, KickFaults { delay, ..NONE });
    service.kick(FROM_0, TO_1);
    assert_eq!(fate(&service), Fate::Delayed);
    assert_eq!(woken.take(), NOBODY, "not in the kicker's hypercall");
    service.kick(FROM_0, Destination::from_a1(3));
    let faulty = service.faulty().unwrap();
    // The main loop waits for the same timer.
    while faulty.waiting() != 0 {
        faulty.waiting.lock().unwrap().timer.wait().unwrap();
        service.deliver_due();
    }
    assert_eq!(woken.take(), [1, 3]);
    assert_eq!(fate(&service), Fate::ToHalted);
}

#[test]
fn a_pause_brings_late_kicks_before_their_time() {
    let delay = Duration::from_secs(3600);
    let (service, woken) = service(4, KickFaults { delay, ..NONE });
    service.kick(FROM_0, TO_1);
    service.deliver_due();
    assert_eq!(woken.take(), NOBODY, "not due");
    service.flush_late();
    assert_eq!(woken.take(), [1]);
    let stats = service.faulty().unwrap().stats();
    assert_eq!(stats.delayed.load(Relaxed), 1);
    assert_eq!(stats.flushed.load(Relaxed), 1);
}

/// A waker that says that it was called and waits until it may go on.
#[derive(Debug)]
struct Slow {
    woken: Woken,
    gate: Arc<std::sync::Barrier>,
}

impl Waker for Slow {
    fn unhalt(&self, vcpu: VcpuIndex, apic_id: u32) -> Unhalted {
        self.gate.wait();
        self.gate.wait();
        self.woken.unhalt(vcpu, apic_id)
    }

    fn apic_mode(&self, vcpu: VcpuIndex) -> ApicMode {
        self.woken.apic_mode(vcpu)
    }
}

#[test]
fn a_pause_waits_for_a_late_kick_that_is_being_delivered() {
    let woken = Woken::default();
    let gate = Arc::new(std::sync::Barrier::new(2));
    let slow = Slow {
        woken: woken.clone(),
        gate: gate.clone(),
    };
    let ids = ApicIds::new(0..4, BroadcastQuirk::Enabled).unwrap();
    let delay = Duration::from_nanos(1);
    let faulty = FaultyKicks::new(KickFaults { delay, ..NONE }, 1, 4).unwrap();
    let service = KickService::new((0..4).collect(), ids, Box::new(slow), None, Tracer::off())
        .with_faults(Some(faulty));
    service.kick(FROM_0, TO_1);
    let (left, held, arrived) = std::thread::scope(|threads| {
        threads.spawn(|| {
            let faulty = service.faulty().unwrap();
            faulty.waiting.lock().unwrap().timer.wait().unwrap();
            while faulty.waiting() != 0 {
                service.deliver_due();
            }
        });
        gate.wait();
        // The kick has left the queue and has not arrived.
        let faulty = service.faulty().unwrap();
        let (left, held) = (faulty.waiting(), faulty.delivering.try_lock().is_err());
        let paused = threads.spawn(|| {
            service.flush_late();
            woken.take()
        });
        gate.wait();
        (left, held, paused.join().unwrap())
    });
    assert_eq!((left, held), (0, true));
    assert_eq!(arrived, [1], "before the pause is over");
}

#[test]
fn a_guest_that_kicks_without_end_does_not_fill_the_memory() {
    let delay = Duration::from_secs(3600);
    let (service, woken) = service(4, KickFaults { delay, ..NONE });
    let room = 4 * LATE_PER_VCPU;
    for _ in 0..room + 3 {
        service.kick(FROM_0, TO_1);
    }
    assert_eq!(woken.take(), [1, 1, 1], "at once");
    let faulty = service.faulty().unwrap();
    assert_eq!(faulty.waiting(), room as u64);
    assert_eq!(faulty.stats().crowded.load(Relaxed), 3);
}

#[test]
fn a_kick_may_be_late_and_go_wrong() {
    let delay = Duration::from_secs(3600);
    let (service, woken) = service(
        4,
        KickFaults {
            dup: 1.0,
            delay,
            ..NONE
        },
    );
    service.kick(FROM_0, TO_1);
    service.flush_late();
    assert_eq!(woken.take(), [1, 1]);
}

#[test]
fn what_went_wrong_is_counted() {
    let (service, _) = service(
        4,
        KickFaults {
            drop: 0.25,
            dup: 0.25,
            misroute: 0.25,
            ..NONE
        },
    );
    for _ in 0..1000 {
        service.kick(FROM_0, TO_1);
    }
    let stats = service.faulty().unwrap().stats();
    let [dropped, duplicated, misrouted] =
        [&stats.dropped, &stats.duplicated, &stats.misrouted].map(|count| count.load(Relaxed));
    for count in [
        dropped,
        duplicated,
        misrouted,
        1000 - dropped - duplicated - misrouted,
    ] {
        assert!((200..300).contains(&count), "{stats:?}");
    }
    assert_eq!(service.stats().dropped.load(Relaxed), dropped);
}
