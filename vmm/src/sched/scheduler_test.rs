//! The scheduler among real threads.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use super::super::config::PolicyKind;
use super::super::slices::Slices;
use super::*;
use crate::pv::halt::Met;

const ROUNDS: usize = 100;

struct Threads {
    sched: Arc<Scheduler>,
    seats: Vec<Arc<HaltState>>,
    on: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
}

impl Threads {
    fn new(policy: PolicyKind, vcpus: usize, pcpus: u32) -> Self {
        let seats: Vec<Arc<HaltState>> = (0..vcpus).map(|_| Arc::default()).collect();
        let config = TokenSched {
            policy,
            pcpus,
            slice: Duration::from_micros(200),
            seed: 3,
        };
        Self {
            sched: Arc::new(Scheduler::new(config, seats.clone())),
            seats,
            on: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        }
    }

    fn kick(&self, vcpu: usize) {
        if self.seats[vcpu].kick_asleep() == Met::Halted {
            self.sched.kicked(vcpu);
        }
    }

    /// One stay on a pCPU.
    fn run(&self, vcpu: usize) {
        assert_ne!(self.sched.get_on(vcpu), Went::Asked);
        let on = self.on.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(on, SeqCst);
        thread::yield_now();
        self.on.fetch_sub(1, SeqCst);
    }

    /// What a guest may do, and what on-spin handlers may.
    fn work(&self, vcpu: usize) {
        let vcpus = self.seats.len();
        for round in 0..ROUNDS {
            self.run(vcpu);
            self.kick((vcpu + 1) % vcpus);
            match round % 4 {
                0 => assert_eq!(self.sched.halt(vcpu), Wake::Kicked),
                1 => {
                    let _ = self.sched.yield_to(vcpu, (vcpu + round) % vcpus);
                }
                2 => self.sched.preempt(vcpu),
                _ => self.sched.leave(vcpu),
            }
        }
        self.sched.leave(vcpu);
        self.done.fetch_add(1, SeqCst);
    }

    /// Halts, and when it is kicked kicks the next: each kick is needed, and a lost one is the end.
    fn pass_on(&self, vcpu: usize) {
        let next = (vcpu + 1) % self.seats.len();
        for _ in 0..ROUNDS {
            self.run(vcpu);
            if vcpu == 0 {
                self.kick(next);
            }
            assert_eq!(self.sched.halt(vcpu), Wake::Kicked);
            if vcpu != 0 {
                self.kick(next);
            }
        }
        self.sched.leave(vcpu);
    }

    /// Never halts, and kicks everybody until all the others are done: [`Self::work`] halts without
    /// anybody who owes it a kick.
    fn watch_over(&self, vcpu: usize) {
        while self.done.load(SeqCst) + 1 < self.seats.len() {
            self.run(vcpu);
            (0..self.seats.len()).for_each(|vcpu| self.kick(vcpu));
            self.sched.yield_turn(vcpu);
        }
        self.sched.leave(vcpu);
    }
}

#[test]
fn a_kick_that_goes_around_a_ring_is_never_lost() {
    for pcpus in [1, 2] {
        let threads = Threads::new(PolicyKind::RoundRobin, 4, pcpus);
        let slices = Slices::watch(&threads.sched, || (), |_| ()).unwrap();
        thread::scope(|scope| {
            for vcpu in 0..threads.seats.len() {
                let threads = &threads;
                scope.spawn(move || threads.pass_on(vcpu));
            }
        });
        drop(slices);
    }
}

#[test]
fn a_kicker_that_comes_late_gives_no_token_to_the_next_halt() {
    let threads = Threads::new(PolicyKind::RoundRobin, 1, 1);
    let (sched, seat) = (&threads.sched, &threads.seats[0]);
    threads.run(0);
    seat.announce_halt();
    assert_eq!(seat.kick_asleep(), Met::Halted);
    assert_eq!(sched.halt(0), Wake::Kicked);
    let (is_on, _) = sched.tokens.halt(0, 1);
    assert!(!is_on);
    // Only now does the first kick's kicker come.
    sched.kicked(0);
    assert_eq!(sched.standing(0), Standing::Halted);
    threads.kick(0);
    assert_eq!(sched.standing(0), Standing::OnPcpu);
    assert_eq!(sched.tokens.sleep_halted(0, || 1), Wake::Kicked);
}

#[test]
fn who_polls_is_told_that_somebody_waits() {
    let threads = Threads::new(PolicyKind::RoundRobin, 2, 1);
    threads.run(0);
    assert!(!threads.sched.is_wanted());
    let (went, _) = threads.sched.tokens.get_on(1, 1);
    assert_eq!(went, None);
    assert!(threads.sched.is_wanted());
    // It would poll for ever else.
    threads.seats[0].poll_halted(Duration::MAX, || threads.sched.is_wanted());
    assert!(!threads.seats[0].try_halt());
}

#[test]
fn threads_that_halt_kick_yield_and_leave_all_come_to_their_end() {
    for policy in PolicyKind::PLAIN {
        for pcpus in [1, 3] {
            let threads = Threads::new(policy, 6, pcpus);
            // Nobody is in KVM_RUN here: who loses a token finds out by itself.
            let slices = Slices::watch(&threads.sched, || (), |_| ()).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| threads.watch_over(0));
                for vcpu in 1..threads.seats.len() {
                    let threads = &threads;
                    scope.spawn(move || threads.work(vcpu));
                }
            });
            drop(slices);
            let most = threads.most.load(SeqCst);
            let allowed = usize::try_from(pcpus).unwrap();
            assert!(most <= allowed, "{policy:?}: {most} of {allowed}");
            let figures = threads.sched.figures();
            assert!(figures.switches > 100, "{figures:?}");
            assert!(figures.hand_over_p50_ns.is_some());
            let standings = (0..6).map(|vcpu| threads.sched.standing(vcpu));
            assert!(standings.into_iter().all(|at| at == Standing::Away));
        }
    }
}
