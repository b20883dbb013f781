//! From the events of host and guest to the life of each kick. Pure: times in, lives out.
//!
//! What is joined, and why it is the same kick:
//! - unlock and kick: one CPU does both, in this order, and nothing else that is noted in between;
//! - kick and its targets: they carry the kick's number;
//! - kick and wake: the first wake of the target that ends after the kick was handed to it, of a
//!   halt that had begun before that was done. n kicks are one bit, so several can share one;
//! - unlock and acquire: the same lock and ticket, on the CPU that was kicked, before it waits
//!   for anything else.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::guest::{GuestEvent, GuestStep};
use super::life::{Joined, Life, Outcome, Run};
use super::recording::{Recording, Track};
use super::wait_index::{Awaited, WaitEnd};
use super::waits::Waits;
use crate::pv::HaltIn;
use crate::pv::kick::Fate;
use crate::pv::recorder::HostStep;

/// Joins what was recorded.
pub fn join(recording: &Recording) -> Joined {
    let mut lives = Vec::new();
    for (from, track) in recording.vcpus.iter().enumerate() {
        begin(recording, from, track, &mut lives);
    }
    let tracks: Vec<_> = recording.vcpus.iter().map(Waits::new).collect();
    for life in &mut lives {
        if let Some(to) = life.to.and_then(|to| tracks.get(to)) {
            finish(life, to, recording.halt_in);
        }
    }
    lives.sort_by_key(|life| life.steps().next());
    Joined {
        unexplained_wakes: unexplained_wakes(recording, &lives, &tracks),
        kicks_without_wake: kicks_without_wake(recording, &lives, &tracks),
        lives,
    }
}

/// The releases and kicks of one vCPU.
fn begin(recording: &Recording, from: usize, track: &Track, lives: &mut Vec<Life>) {
    let unlocks = track.guest.events.iter();
    let mut unlocks = unlocks
        .filter(|event| event.step == GuestStep::Unlock)
        .peekable();
    let mut events = track.host.iter().peekable();
    while let Some(event) = events.next() {
        let HostStep::Kick {
            number,
            destination,
        } = event.what
        else {
            continue;
        };
        let mut cause = None;
        while let Some(unlock) = unlocks.next_if(|unlock| unlock.tsc <= event.tsc) {
            // The one before made no kick that is still here.
            lives.extend(
                cause
                    .replace(unlock)
                    .map(|lost| taken_by_kvm(recording, from, lost)),
            );
        }
        if let Some(other) = cause.take_if(|unlock| unlock.target != destination) {
            lives.push(taken_by_kvm(recording, from, other));
        }
        let life = Life {
            number: Some(number),
            from,
            to: None,
            fate: None,
            waited_for: cause.map(|unlock| (unlock.lock, unlock.ticket)),
            unlock: cause.map(|unlock| unlock.tsc),
            kick: Some(event.tsc),
            unhalt: None,
            wake: None,
            run: None,
            acquire: None,
            outcome: Outcome::NotDelivered,
        };
        let mut targets = 0;
        while let Some(unhalt) = events.next_if(
            |next| matches!(next.what, HostStep::Unhalt { number: same, .. } if same == number),
        ) {
            let HostStep::Unhalt {
                target, fate, done, ..
            } = unhalt.what
            else {
                continue;
            };
            targets += 1;
            lives.push(Life {
                to: usize::try_from(target.0).ok(),
                fate: Some(fate),
                unhalt: Some((unhalt.tsc, done)),
                ..life.clone()
            });
        }
        if targets == 0 {
            lives.push(life);
        }
    }
    lives.extend(unlocks.map(|unlock| taken_by_kvm(recording, from, unlock)));
}

/// A release whose kick the VMM did not see.
fn taken_by_kvm(recording: &Recording, from: usize, unlock: &GuestEvent) -> Life {
    Life {
        number: None,
        from,
        to: recording.vcpu_of(unlock.target),
        fate: None,
        waited_for: Some((unlock.lock, unlock.ticket)),
        unlock: Some(unlock.tsc),
        kick: None,
        unhalt: None,
        wake: None,
        run: None,
        acquire: None,
        outcome: Outcome::Open,
    }
}

/// What became of a kick at its target.
fn finish(life: &mut Life, target: &Waits<'_>, halt_in: HaltIn) {
    if life
        .fate
        .is_some_and(|fate| !fate.has_arrived() && fate != Fate::Delayed)
    {
        return;
    }
    life.outcome = Outcome::Open;
    let was_halted = life.fate == Some(Fate::ToHalted);
    if let (Some((begin, done)), true) = (life.unhalt, was_halted) {
        match halt_in {
            HaltIn::Vmm => {
                if let Some(halt) = target.halt_ended_by(begin, done) {
                    life.wake = Some(halt.woke);
                    life.run = halt.runs.map(Run::Entered);
                }
            }
            HaltIn::Kvm => {
                life.wake = Some(begin);
                // Before KVM had the kick it may not have been halted yet.
                let seen = target.seen.partition_point(|seen| *seen < done);
                life.run = target.seen.get(seen).copied().map(Run::SeenAfter);
            }
        }
    }
    if let (Some(unlock), Some(waited_for)) = (life.unlock, life.waited_for) {
        follow_in_guest(life, target, unlock, waited_for);
    }
}

/// What the target's guest did from the release on.
fn follow_in_guest(life: &mut Life, target: &Waits<'_>, unlock: u64, waited_for: Awaited) {
    let caused = life.wake.or(life.kick).unwrap_or(0);
    let then = target.guest.after(unlock, caused, waited_for);
    match then.end {
        Some(WaitEnd::Acquired(tsc)) if tsc < caused => {
            (life.wake, life.run) = (None, None);
            life.outcome = Outcome::TooLate;
        }
        Some(WaitEnd::Acquired(tsc)) => {
            life.acquire = Some(tsc);
            life.outcome = Outcome::Acquired;
        }
        Some(WaitEnd::Entered) => life.outcome = Outcome::Stolen,
        None => {}
    }
    if let Some(awake) = then.awake {
        life.run = Some(Run::InGuest(awake));
    }
    // An exit of after the lock was taken does not tell when it began to run.
    if let (Some(Run::SeenAfter(seen)), Some(acquire)) = (life.run, life.acquire)
        && seen > acquire
    {
        life.run = None;
    }
}

/// From here on no event that could explain another is lost.
fn horizon(recording: &Recording) -> u64 {
    let first = |track: &Track| {
        let first = track.host.first().map_or(recording.end, |event| event.tsc);
        (track.host_lost != 0).then_some(first)
    };
    recording.vcpus.iter().filter_map(first).max().unwrap_or(0)
}

/// A wake is explained by a kick that was handed over after the halt before began and before the
/// wake. n kicks are one bit: each explains one wake at most. Those that are over first are taken
/// first, so that a way to explain all wakes is found where there is one.
fn unexplained_wakes(recording: &Recording, lives: &[Life], targets: &[Waits<'_>]) -> u64 {
    if lives.iter().all(|life| life.number.is_none()) {
        // KVM takes the kicks.
        return 0;
    }
    let horizon = horizon(recording);
    let mut handed: Vec<Vec<(u64, u64)>> = vec![Vec::new(); targets.len()];
    for life in lives {
        let was_taken = matches!(life.fate, Some(Fate::ToHalted | Fate::ToRunning));
        if let (Some(to), Some(unhalt), true) = (life.to, life.unhalt, was_taken)
            && let Some(handed) = handed.get_mut(to)
        {
            handed.push(unhalt);
        }
    }
    let mut unexplained = 0_u64;
    for (target, handed) in targets.iter().zip(&mut handed) {
        handed.sort_unstable();
        let mut coming = handed.iter().peekable();
        let mut come = BinaryHeap::new();
        let mut before = 0;
        for halt in target.known_halts(recording.halt_in) {
            while let Some((_, done)) = coming.next_if(|(begin, _)| *begin <= halt.woke) {
                come.push(Reverse(*done));
            }
            while come.peek().is_some_and(|Reverse(done)| *done < before) {
                come.pop();
            }
            if before >= horizon && come.pop().is_none() {
                unexplained += 1;
            }
            before = halt.begin;
        }
    }
    unexplained.saturating_sub(recording.rekicks)
}

/// Kicks that found their target halted and after which it did not wake, though it was not at the
/// end.
fn kicks_without_wake(recording: &Recording, lives: &[Life], targets: &[Waits<'_>]) -> u64 {
    let lost = lives.iter().filter(|life| {
        let has_gone_on = |to: &Waits<'_>| {
            life.unhalt
                .is_some_and(|(begin, done)| to.first() <= begin && to.last() > done)
        };
        let has_woken = match recording.halt_in {
            HaltIn::Vmm => life.wake.is_some(),
            HaltIn::Kvm => life.run.is_some() || life.acquire.is_some(),
        };
        life.fate == Some(Fate::ToHalted)
            && !has_woken
            && life.outcome != Outcome::TooLate
            && life
                .to
                .and_then(|to| targets.get(to))
                .is_some_and(has_gone_on)
    });
    u64::try_from(lost.count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "join_test.rs"]
mod tests;
