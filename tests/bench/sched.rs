//! What it costs that the VMM can schedule vCPUs: a token's way from one thread to another, and a
//! laboratory in which nobody has to wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use vmm::os::futex;
use vmm::pv::halt::HaltState;
use vmm::sched::config::{PolicyKind, TokenSched};
use vmm::sched::view::Standing;
use vmm::sched::{Pcpus, Scheduler, Went};

use crate::Bench;
use crate::process;
use crate::row::{Row, Target};
use crate::sample::Sample;

const ROUNDS: usize = 41;
/// Hand-overs there and back in a round.
const TURNS: u32 = 2000;
/// A token's hand-over beside a bare futex's.
const SWITCH: f64 = 1.5;
/// An idle laboratory beside none.
const IDLE: f64 = 0.98;

/// Both.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    switches(bench, show);
    idle(bench, show)
}

fn switches(bench: &Bench, show: &mut dyn FnMut(Row)) {
    let names = ["by directed yield", "by slice end", "by halt and kick"];
    let ways: [fn() -> f64; 3] = [by_yield, by_slice_end, by_halt];
    let mut tokens = names.map(|_| Sample::default());
    let mut bare = Sample::default();
    for _ in 0..bench.rounds(ROUNDS) {
        bare.push(by_futex());
        for (token, way) in tokens.iter_mut().zip(ways) {
            token.push(way());
        }
    }
    for (name, token) in names.into_iter().zip(tokens) {
        show(
            Row::alone(format!("token switch {name}"), "us", token)
                .beside("bare futex", bare.clone())
                .target(Target::RatioAtMost(SWITCH)),
        );
    }
}

/// One hand-over between this thread and another, in us. Both do `turn` in turns, having begun with
/// `start`; this one when the other is `ready`.
fn handed_over(
    start: impl Fn(usize) + Sync,
    turn: impl Fn(usize) + Sync,
    end: impl Fn(usize) + Sync,
    ready: impl Fn(),
) -> f64 {
    thread::scope(|scope| {
        start(0);
        let (turn, start, end) = (&turn, &start, &end);
        let other = scope.spawn(move || {
            start(1);
            (0..TURNS).for_each(|_| turn(1));
            end(1);
        });
        ready();
        let begin = Instant::now();
        (0..TURNS).for_each(|_| turn(0));
        let took = begin.elapsed();
        end(0);
        // A panic of the other thread is this one's.
        let _ = other.join();
        took.as_secs_f64() * 1e6 / f64::from(2 * TURNS)
    })
}

/// Two words, one for each thread to sleep on.
fn by_futex() -> f64 {
    let words = [AtomicU32::new(0), AtomicU32::new(0)];
    let wake = |at: usize| {
        words[at].store(1, SeqCst);
        futex::wake_one(&words[at]);
    };
    let sleep = |at: usize| {
        while words[at].swap(0, SeqCst) == 0 {
            futex::wait(&words[at], 0);
        }
    };
    let start = |at| {
        if at == 1 {
            sleep(1);
        }
    };
    let turn = |at: usize| {
        wake(1 - at);
        sleep(at);
    };
    handed_over(start, turn, |at| wake(1 - at), || ())
}

fn one_token() -> (Scheduler, [Arc<HaltState>; 2]) {
    let seats = [Arc::default(), Arc::default()];
    let config = TokenSched {
        policy: PolicyKind::RoundRobin,
        pcpus: 1,
        slice: Duration::from_secs(1),
        seed: 1,
    };
    (Scheduler::new(config, seats.to_vec()), seats)
}

/// Until it has a token.
fn get_on(sched: &Scheduler, at: usize) {
    while !matches!(sched.get_on(at), Went::On | Went::Stayed) {}
}

/// Else there is nobody to hand the token to.
fn until_other_waits(sched: &Scheduler) {
    while sched.standing(1) != Standing::Preempted {
        thread::yield_now();
    }
}

fn by_yield() -> f64 {
    let (sched, _) = one_token();
    let turn = |at: usize| {
        sched.yield_to(at, 1 - at);
        get_on(&sched, at);
    };
    let (start, end) = (|at| get_on(&sched, at), |at| sched.leave(at));
    handed_over(start, turn, end, || until_other_waits(&sched))
}

fn by_slice_end() -> f64 {
    let (sched, _) = one_token();
    let turn = |at: usize| {
        sched.yield_turn(at);
        get_on(&sched, at);
    };
    let (start, end) = (|at| get_on(&sched, at), |at| sched.leave(at));
    handed_over(start, turn, end, || until_other_waits(&sched))
}

fn by_halt() -> f64 {
    let (sched, seats) = one_token();
    let kick = |at: usize| {
        seats[at].kick_asleep();
        sched.kicked(at);
    };
    let turn = |at: usize| {
        kick(1 - at);
        sched.halt(at);
    };
    let end = |at: usize| {
        kick(1 - at);
        sched.leave(at);
    };
    let start = |at| get_on(&sched, at);
    handed_over(start, turn, end, || ())
}

/// A machine for which there is a pCPU for everybody, under the VMM's scheduler and without.
fn idle(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let cpus = thread::available_parallelism()?.get().to_string();
    let plain = ["--halt", "vmm", "--vcpus", &cpus];
    let host = [&plain[..], &["--sched", "host"]].concat();
    let tokens = [&plain[..], &["--sched", "round-robin", "--pcpus", &cpus]].concat();
    for lock in ["ticket", "pv-ticket-head threshold=64"] {
        let payload = format!("lock={lock} ring=3 seconds=0.25");
        let mut rates = [&plain[..], &host, &tokens].map(|options| (options, Sample::default()));
        for _ in 0..bench.rounds(ROUNDS) {
            for (options, rate) in &mut rates {
                let report = process::report(&bench.vmm, options, &payload)?;
                let per_second = report["acquisitions_per_s"].as_f64();
                rate.push(per_second.ok_or_else(|| io::Error::other("no throughput"))? / 1e3);
            }
        }
        let [(_, plain), (_, host), (_, tokens)] = rates;
        for (name, rate) in [("host", host), ("tokens for all", tokens)] {
            show(
                Row::alone(format!("idle laboratory, {lock}: {name}"), "k/s", rate)
                    .beside("plain run", plain.clone())
                    .target(Target::RatioAtLeast(IDLE)),
            );
        }
    }
    Ok(())
}
