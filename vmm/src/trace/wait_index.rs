//! What one CPU's guest noted, to be found by lock and ticket: a guest chooses what is in its ring,
//! and must not choose how long the host looks.

use std::collections::HashMap;

use super::guest::{GuestEvent, GuestStep};

/// A lock's address and the ticket that is waited for.
pub(super) type Awaited = (u64, u32);

/// Places of the events of one lock and ticket, in order.
#[derive(Debug, Default)]
struct Places {
    enter: Vec<usize>,
    awake: Vec<usize>,
    acquire: Vec<usize>,
}

/// One CPU's events.
#[derive(Debug)]
pub(super) struct WaitIndex<'a> {
    events: &'a [GuestEvent],
    places: HashMap<Awaited, Places>,
    /// Where waits begin, and for each the first that follows and is for something else.
    enters: Vec<(usize, Option<usize>)>,
}

/// How a wait goes on after the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitEnd {
    /// It has the lock.
    Acquired(u64),
    /// It was awake and waits again.
    Entered,
}

/// What followed a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Then {
    /// The first time that it was awake.
    pub(super) awake: Option<u64>,
    /// The end, where it was noted.
    pub(super) end: Option<WaitEnd>,
}

fn awaited(event: &GuestEvent) -> Awaited {
    (event.lock, event.ticket)
}

/// The first of `places` from `from` on.
fn first_from(places: &[usize], from: usize) -> Option<usize> {
    places
        .get(places.partition_point(|place| *place < from))
        .copied()
}

impl<'a> WaitIndex<'a> {
    /// Of events in the order of time.
    pub(super) fn new(events: &'a [GuestEvent]) -> Self {
        let mut places: HashMap<Awaited, Places> = HashMap::new();
        let mut enters = Vec::new();
        for (at, event) in events.iter().enumerate() {
            let same = || awaited(event);
            match event.step {
                GuestStep::Enter => {
                    places.entry(same()).or_default().enter.push(at);
                    enters.push((at, None));
                }
                GuestStep::Awake => places.entry(same()).or_default().awake.push(at),
                GuestStep::Acquire => places.entry(same()).or_default().acquire.push(at),
                GuestStep::Halt | GuestStep::Unlock => {}
            }
        }
        let mut next: Option<(usize, Option<usize>)> = None;
        for enter in enters.iter_mut().rev() {
            enter.1 = next.and_then(|(at, other)| {
                let is_same = awaited(&events[at]) == awaited(&events[enter.0]);
                if is_same { other } else { Some(at) }
            });
            next = Some(*enter);
        }
        Self {
            events,
            places,
            enters,
        }
    }

    /// The place of the first event from `tsc` on.
    fn place(&self, tsc: u64) -> usize {
        self.events.partition_point(|event| event.tsc < tsc)
    }

    /// Where the CPU begins to wait for something else, from `from` on.
    fn left_at(&self, from: usize, waited_for: Awaited) -> usize {
        let first = self.enters.partition_point(|(at, _)| *at < from);
        let left = self.enters.get(first).and_then(|(at, other)| {
            if awaited(&self.events[*at]) == waited_for {
                *other
            } else {
                Some(*at)
            }
        });
        left.unwrap_or(self.events.len())
    }

    /// What the CPU did about `waited_for` after the release at `unlock`, of which the effect is
    /// not before `caused`.
    pub(super) fn after(&self, unlock: u64, caused: u64, waited_for: Awaited) -> Then {
        let from = self.place(unlock);
        let left = self.left_at(from, waited_for);
        let first = |places: &[usize], from: usize, before: usize| {
            first_from(places, from).filter(|place| *place < before)
        };
        let Some(places) = self.places.get(&waited_for) else {
            return Then::default();
        };
        let acquire = first(&places.acquire, from, left);
        let end = acquire.unwrap_or(left);
        let awake = first(&places.awake, from.max(self.place(caused)), end);
        let again = awake.and_then(|awake| first(&places.enter, awake, end));
        let tsc = |place: usize| self.events[place].tsc;
        Then {
            awake: awake.map(tsc),
            end: match again {
                Some(_) => Some(WaitEnd::Entered),
                None => acquire.map(|place| WaitEnd::Acquired(tsc(place))),
            },
        }
    }
}
