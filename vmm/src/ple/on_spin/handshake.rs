//! `handshake` (ours): the pCPU goes to whoever the spinner waits for.
//!
//! Locks are handed on in the order of their queues, so a pCPU is well used by the holder and by those
//! whose turn comes next, in that order, and by nobody else who waits. Therefore:
//!
//! 1. whoever holds the spinner's lock, or waits for it with a turn before the spinner's, and could
//!    run if it had a pCPU, gets the spinner's: the foremost of them. A holder that waits for another
//!    lock stands for the queue of that one;
//!    That is a loan: whoever gets it gives it back once outside all locks. Else it would queue for the
//!    lock again at once, behind the spinner, who has no pCPU now; and so each hand-over of the lock
//!    would cost one of a pCPU for as long as both want it: a convoy. A vCPU whose loan is out counts
//!    as one that runs;
//! 2. where the holder, or somebody before the spinner, runs, spinning is right however far the turn
//!    is: a waiter that gives its pCPU to one that does not wait is one more that has to be fetched;
//! 3. where nobody of them runs or could, who has said nothing may have been preempted between taking
//!    the lock, or a ticket, and saying so, and gets the pCPU; so does, where the holder is kept away,
//!    whoever makes use of it;
//! 4. where there is nobody, and those before the spinner are halted or their holder is kept away, the
//!    guest is told to halt at once if its lock can: the pCPU is free then for who is kicked.
//!
//! While somebody waits for a pCPU its windows are bounded: a holder that runs now may be preempted at
//! any moment, and a spinner whose window has grown as long as a slice would notice it a slice later.
//! Where all have pCPUs there is nothing to notice, and exits are nothing but their cost.
//!
//! A halted vCPU is never boosted: whoever unlocks kicks it. A lock without tickets has no known order:
//! only its holder is preferred, and where none says so, one of its waiters has its turn: the lock of a
//! queue may have been passed on to one that was preempted.
//!
//! Where the guest says nothing of the spinner (no handshake page) only 1 is left, by what the host
//! knows itself: who was kicked is next for something, then who was preempted, as kick-yield.

use super::queue::{Place, ahead, has_tickets, tickets_ahead};
use super::{Action, Patience, Tell, Verdict, after_last_boosted, first_eligible, kick_yield};
use crate::sched::view::{Said, Standing, VcpuView, View};

/// Decides.
pub(super) fn decide(view: &View<'_>) -> Verdict {
    let is_overcommitted = view.vcpus.iter().any(|vcpu| vcpu.standing.waits());
    Verdict {
        patience: match is_overcommitted {
            true => Patience::Bounded,
            false => Patience::AsKvm,
        },
        ..without_patience(view)
    }
}

fn without_patience(view: &View<'_>) -> Verdict {
    let said = view.vcpus.get(view.spinner).and_then(|vcpu| vcpu.said);
    let Some(said) = said.filter(|said| said.waiting_lock != 0) else {
        return unsaid(view);
    };
    let place = if has_tickets(said) {
        Place::Waiter(tickets_ahead(said.ticket, said.serving))
    } else {
        // Before all waiters: none of them is known to come first.
        Place::Waiter(0)
    };
    let queue = ahead(view, said.waiting_lock, said.serving, place);
    if let Some(foremost) = queue.foremost {
        return Action::LendTo(foremost).into();
    }
    let holder = queue.holder.and_then(|index| view.vcpus.get(index));
    if let Some(target) = holder.and_then(|holder| behind(view, holder)) {
        return Action::LendTo(target).into();
    }
    let is_kept_away = holder.is_some_and(|holder| is_off_for_long(holder.standing));
    if !is_kept_away && (holder.is_some() || queue.on_pcpu > 0) {
        return Action::Nothing.into();
    }
    if queue.holder.is_none() && !has_tickets(said) {
        return one_of_the_waiters(view, said.waiting_lock);
    }
    match somebody_else(view, said.waiting_lock) {
        Some(target) => Action::YieldTo(target).into(),
        None if is_kept_away || queue.gone > 0 => Verdict {
            tell: Tell::ToHalt,
            ..Action::Nothing.into()
        },
        None => Action::Nothing.into(),
    }
}

/// The foremost of what a holder itself waits for, and so on: as many steps as there are vCPUs, since
/// a guest may say that they go round in a circle.
fn behind(view: &View<'_>, holder: &VcpuView) -> Option<usize> {
    let mut said = holder.said?;
    for _ in 0..view.vcpus.len() {
        if said.waiting_lock == 0 {
            return None;
        }
        let place = Place::Waiter(tickets_ahead(said.ticket, said.serving));
        let queue = ahead(view, said.waiting_lock, said.serving, place);
        if queue.foremost.is_some() {
            return queue.foremost;
        }
        said = view.vcpus.get(queue.holder?)?.said?;
    }
    None
}

/// For a lock without tickets that nobody says he holds: it may have been passed on to a waiter that has
/// no pCPU and cannot say so. One that was kicked, or else the next, by the walk and the marks of
/// dy-eligible: who is passed over leaves this turn to somebody else.
fn one_of_the_waiters(view: &View<'_>, lock: u64) -> Verdict {
    let may_have_it = |vcpu: &VcpuView| {
        let waits = vcpu.said.is_some_and(|said| said.waiting_lock == lock);
        waits && vcpu.standing.waits() && !vcpu.has_lent
    };
    let kicked = after_last_boosted(view)
        .find(|(_, vcpu)| may_have_it(vcpu) && vcpu.standing == Standing::Kicked);
    if let Some((index, _)) = kicked {
        return Action::LendTo(index).into();
    }
    let next = first_eligible(view, may_have_it);
    let action = match (next.action, somebody_else(view, lock)) {
        (Action::YieldTo(waiter), _) => Action::LendTo(waiter),
        (_, Some(target)) => Action::YieldTo(target),
        (_, None) => Action::Nothing,
    };
    Verdict { action, ..next }
}

/// A vCPU that makes good use of a pCPU without waiting for `lock`: one that was kicked, or else one
/// that says of no lock that it waits for it.
fn somebody_else(view: &View<'_>, lock: u64) -> Option<usize> {
    let find = |is_good: fn(&VcpuView, Said) -> bool| {
        after_last_boosted(view)
            .filter(|(_, vcpu)| vcpu.standing.waits() && !vcpu.has_lent)
            .map(|(index, vcpu)| (index, vcpu, vcpu.said.unwrap_or_default()))
            .find(|(_, vcpu, said)| said.waiting_lock != lock && is_good(vcpu, *said))
            .map(|(index, ..)| index)
    };
    find(|vcpu, _| vcpu.standing == Standing::Kicked)
        .or_else(|| find(|_, said| said.waiting_lock == 0))
}

/// Whether a vCPU gets no pCPU however many there are.
fn is_off_for_long(standing: Standing) -> bool {
    matches!(standing, Standing::Halted | Standing::Away)
}

/// For guests that say nothing.
fn unsaid(view: &View<'_>) -> Verdict {
    let kicked = after_last_boosted(view).find(|(_, vcpu)| vcpu.standing == Standing::Kicked);
    match kicked {
        Some((index, _)) => Action::YieldTo(index).into(),
        None => kick_yield::decide(view),
    }
}

#[cfg(test)]
#[path = "handshake_test.rs"]
mod tests;
