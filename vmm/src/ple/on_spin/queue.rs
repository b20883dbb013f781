//! Who waits for a lock in which order, as far as the guest says. All of it may be lies: whatever is
//! computed from it only picks one vCPU among those that can run.

use crate::sched::view::{Said, Standing, View};

/// A vCPU's place in the queue for a lock. The smaller, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// It holds the lock.
    Holder,
    /// It waits, and so many tickets are served before its own.
    Waiter(u32),
}

/// Tickets from `serving` to `ticket`. How wide they are is not said: a `ticket` below `serving` has
/// wrapped, at the narrowest width that both fit in. One that lies in the past is served already.
pub(super) fn tickets_ahead(ticket: u32, serving: u32) -> u32 {
    if ticket >= serving {
        return ticket - serving;
    }
    let width = match serving {
        0..0x100 => 8,
        0x100..0x1_0000 => 16,
        _ => 32,
    };
    let ahead = ticket.wrapping_sub(serving) & (u32::MAX >> (32 - width));
    if ahead >> (width - 1) == 0 { ahead } else { 0 }
}

/// Whether the lock that a vCPU waits for serves tickets: who spins for a ticket has another one than
/// is served.
pub(super) fn has_tickets(said: Said) -> bool {
    said.ticket != said.serving
}

/// What stands between a spinner and its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// The foremost that could run and has no pCPU.
    pub(super) foremost: Option<usize>,
    /// The holder, where one says so.
    pub(super) holder: Option<usize>,
    /// Waiters before the spinner that are on a pCPU, or will be soon because they have lent theirs.
    pub(super) on_pcpu: usize,
    /// Waiters before the spinner that are halted or away.
    pub(super) gone: usize,
}

/// Looks at the queue for `lock` before `place`, a waiter's that saw `serving` served. `me` is not in
/// it.
pub(super) fn ahead(view: &View<'_>, lock: u64, serving: u32, place: Place) -> Ahead {
    let mut ahead = Ahead {
        foremost: None,
        holder: None,
        on_pcpu: 0,
        gone: 0,
    };
    let mut best = None;
    for (index, vcpu) in super::after_last_boosted(view) {
        let Some(said) = vcpu.said else { continue };
        let its = if said.holding_lock == lock {
            ahead.holder = Some(index);
            Place::Holder
        } else if said.waiting_lock == lock {
            Place::Waiter(tickets_ahead(said.ticket, serving))
        } else {
            continue;
        };
        if its >= place {
            continue;
        }
        match vcpu.standing {
            _ if vcpu.has_lent => ahead.on_pcpu += 1,
            _ if vcpu.standing.waits() => {
                if best.is_none_or(|best| its < best) {
                    best = Some(its);
                    ahead.foremost = Some(index);
                }
            }
            _ if its == Place::Holder => {}
            Standing::OnPcpu => ahead.on_pcpu += 1,
            _ => ahead.gone += 1,
        }
    }
    ahead
}

#[cfg(test)]
mod tests {
    use super::super::test_views::*;
    use super::*;

    #[test]
    fn tickets_wrap_at_their_width_and_the_past_is_served() {
        for (ticket, serving, ahead, why) in [
            (7, 5, 2, "no wrap"),
            (5, 5, 0, "served now"),
            (1, 254, 3, "8 bits"),
            (1, 65_534, 3, "16 bits"),
            (1, u32::MAX, 2, "32 bits"),
            (90, 100, 0, "8 bits, in the past"),
            (65_000, 65_010, 0, "16 bits, in the past"),
        ] {
            assert_eq!(tickets_ahead(ticket, serving), ahead, "{why}");
        }
    }

    #[test]
    fn the_holder_comes_before_who_is_served_next() {
        let all = [
            waits(running(), 1, 9, 5),
            waits(preempted(), 1, 6, 5),
            holds(preempted(), 1),
            waits(preempted(), 1, 10, 5),
            waits(running(), 1, 7, 5),
            waits(halted(), 1, 8, 5),
            waits(preempted(), 2, 0, 5),
        ];
        let found = ahead(&view(&all), 1, 5, Place::Waiter(4));
        let expected = Ahead {
            foremost: Some(2),
            holder: Some(2),
            on_pcpu: 1,
            gone: 1,
        };
        assert_eq!(found, expected);
    }
}
