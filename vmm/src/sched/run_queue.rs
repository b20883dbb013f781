//! Who has a token, who waits for one, and who is next: all of it pure, with the time as a number.
//!
//! What holds after every call: as many vCPUs are on a pCPU as tokens are not free; and no token is
//! free while somebody waits (the scheduler is work conserving).

use super::config::TokenSched;
use super::decisions::Decisions;
use super::effects::{Asked, Counts, Effects};
use super::policy::{Candidate, Gang, Policy};
use super::view::Standing;

/// One vCPU.
#[derive(Clone, Copy, Debug)]
struct Entry {
    standing: Standing,
    /// Its place in the queue, while it waits.
    place: u64,
    virtual_ns: u64,
    /// When it got its token, while it has one.
    since_ns: u64,
    slice_end_ns: u64,
    /// It was told to let somebody else on.
    asked_off: Option<Asked>,
}

/// Where a vCPU that queues comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It could not run: the time that it did not want is not made up for.
    Absence,
    /// From its pCPU: it keeps what it is behind the others.
    Pcpu,
}

/// Whether somebody watches the slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// Nobody, because nobody waits.
    Off,
    /// For one more slice, lest every short wait costs a wake-up.
    Lingers,
    On,
}

/// The tokens and the vCPUs that share them.
#[derive(Debug)]
pub(super) struct RunQueue {
    entries: Vec<Entry>,
    free: usize,
    waiting: usize,
    policy: Policy,
    slice_ns: u64,
    /// End of the gang's slice.
    gang_end_ns: u64,
    next_place: u64,
    watch: Watch,
    /// Kept for its memory.
    candidates: Vec<Candidate>,
    /// Likewise.
    draws: Vec<u64>,
    pub(super) decisions: Decisions,
    pub(super) counts: Counts,
}

impl Entry {
    /// Its virtual time, its stay on the pCPU included.
    fn virtual_at(&self, now_ns: u64) -> u64 {
        let stay_ns = match self.standing {
            Standing::OnPcpu => now_ns.saturating_sub(self.since_ns),
            _ => 0,
        };
        self.virtual_ns.saturating_add(stay_ns)
    }
}

impl RunQueue {
    /// All vCPUs are away at first.
    pub(super) fn new(vcpus: usize, config: &TokenSched) -> Self {
        let pcpus = usize::try_from(config.pcpus).unwrap_or(usize::MAX);
        let entry = Entry {
            standing: Standing::Away,
            place: 0,
            virtual_ns: 0,
            since_ns: 0,
            slice_end_ns: 0,
            asked_off: None,
        };
        Self {
            entries: vec![entry; vcpus],
            free: pcpus.min(vcpus),
            waiting: 0,
            policy: Policy::new(config.policy, config.seed, pcpus),
            slice_ns: u64::try_from(config.slice.as_nanos())
                .unwrap_or(u64::MAX)
                .max(1),
            gang_end_ns: 0,
            next_place: 0,
            watch: Watch::Off,
            candidates: Vec::with_capacity(vcpus),
            draws: Vec::with_capacity(vcpus),
            decisions: Decisions::default(),
            counts: Counts::default(),
        }
    }

    pub(super) fn vcpus(&self) -> usize {
        self.entries.len()
    }

    /// Whether somebody waits for a token.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting > 0
    }

    /// Tokens that nobody has.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free
    }

    pub(super) fn standing(&self, vcpu: usize) -> Standing {
        self.entries
            .get(vcpu)
            .map_or(Standing::Away, |entry| entry.standing)
    }

    /// Whether a vCPU that has a token was told to let somebody else on.
    pub(super) fn asked_off(&self, vcpu: usize) -> Option<Asked> {
        self.entries.get(vcpu)?.asked_off
    }

    /// It can run: it came up, came back, or was kicked. Nothing changes for one that has a token
    /// or waits for one already.
    pub(super) fn can_run(&mut self, vcpu: usize, how: Standing, now_ns: u64) -> Effects {
        match self.standing(vcpu) {
            Standing::Away | Standing::Halted => {
                self.enqueue(vcpu, how, Origin::Absence, 0, now_ns);
                self.dispatch(now_ns)
            }
            Standing::OnPcpu | Standing::Preempted | Standing::Kicked => Effects::default(),
        }
    }

    /// It cannot run any more: it halts, or has the VMM's own business to do.
    pub(super) fn cannot_run(&mut self, vcpu: usize, how: Standing, now_ns: u64) -> Effects {
        self.take_off(vcpu, how, now_ns);
        self.dispatch(now_ns)
    }

    /// It gives its token up, as it was told, and wants another.
    pub(super) fn gives_up(&mut self, vcpu: usize, now_ns: u64) -> Effects {
        let Some(asked) = self.asked_off(vcpu) else {
            return Effects::default();
        };
        let places_lost = match asked {
            Asked::SliceOver | Asked::Yields => 0,
            Asked::Preempted => self.policy.places_lost(),
        };
        self.take_off(vcpu, Standing::Away, now_ns);
        self.enqueue(vcpu, Standing::Preempted, Origin::Pcpu, places_lost, now_ns);
        let effects = self.dispatch(now_ns);
        match asked {
            // Nobody has lost anything.
            _ if effects.granted == Some(vcpu) => self.counts.switches -= 1,
            Asked::SliceOver => self.counts.expired += 1,
            Asked::Preempted => self.counts.preempted += 1,
            Asked::Yields => {}
        }
        effects
    }

    /// Tells a vCPU to let somebody else on. Whether it has a token to lose.
    pub(super) fn ask_off(&mut self, vcpu: usize, why: Asked) -> bool {
        match self.entries.get_mut(vcpu) {
            Some(entry) if entry.standing == Standing::OnPcpu => {
                // Who was preempted on purpose stays so.
                if entry.asked_off != Some(Asked::Preempted) {
                    entry.asked_off = Some(why);
                }
                true
            }
            _ => false,
        }
    }

    /// The token of `from` goes to `to`, which waits for one; `None` if it does not, or if `from`
    /// was told to let others on.
    ///
    /// The slice goes with the token: two that yield to each other for ever have one between them,
    /// and lose it at its end to whom the policy picks.
    pub(super) fn hand_over(&mut self, from: usize, to: usize, now_ns: u64) -> Option<Effects> {
        let giver = self.entries.get(from)?;
        if giver.standing != Standing::OnPcpu
            || giver.asked_off.is_some()
            || !self.standing(to).waits()
        {
            return None;
        }
        let slice_end_ns = giver.slice_end_ns;
        self.take_off(from, Standing::Away, now_ns);
        self.enqueue(from, Standing::Preempted, Origin::Pcpu, 0, now_ns);
        self.counts.yields += 1;
        self.put_on(to, now_ns);
        if let Some(entry) = self.entries.get_mut(to) {
            entry.slice_end_ns = slice_end_ns;
        }
        Some(Effects {
            granted: Some(to),
            wake_timer: self.needs_watch(now_ns),
        })
    }

    /// Tells those whose slices are over to let others on, as many as there are others, and appends
    /// them to `sent`. Returns when to look again; `None` if somebody says so by
    /// [`Effects::wake_timer`].
    pub(super) fn look_at_slices(&mut self, now_ns: u64, sent: &mut Vec<usize>) -> Option<u64> {
        if self.waiting == 0 {
            self.renew(now_ns);
            let lingers = self.watch == Watch::On;
            self.watch = if lingers { Watch::Lingers } else { Watch::Off };
            return lingers.then_some(now_ns.saturating_add(self.slice_ns));
        }
        self.watch = Watch::On;
        if let Policy::Gang(gang) = &mut self.policy {
            if self.gang_end_ns <= now_ns {
                let entries = self.entries.iter().enumerate();
                gang.next(entries.filter(|(_, e)| e.standing.waits()).map(|(i, _)| i));
                self.gang_end_ns = now_ns.saturating_add(self.slice_ns);
            }
            let gang = *gang;
            self.send_gang(gang, sent);
            return Some(self.gang_end_ns);
        }
        let asked = |entry: &Entry| entry.asked_off.is_some();
        let mut room = self
            .waiting
            .saturating_sub(self.entries.iter().filter(|entry| asked(entry)).count());
        let mut next_ns = now_ns.saturating_add(self.slice_ns);
        for (vcpu, entry) in self.entries.iter_mut().enumerate() {
            if entry.standing != Standing::OnPcpu || asked(entry) {
                continue;
            }
            if entry.slice_end_ns > now_ns {
                next_ns = next_ns.min(entry.slice_end_ns);
            } else if room > 0 {
                room -= 1;
                entry.asked_off = Some(Asked::SliceOver);
                sent.push(vcpu);
            } else {
                entry.slice_end_ns = now_ns.saturating_add(self.slice_ns);
            }
        }
        Some(next_ns)
    }

    /// Members of the gang that wait take the tokens of those who are none.
    fn send_gang(&mut self, gang: Gang, sent: &mut Vec<usize>) {
        let room = self.members_without(&gang);
        let strangers = self.entries.iter_mut().enumerate().filter(|(vcpu, entry)| {
            entry.standing == Standing::OnPcpu && entry.asked_off.is_none() && !gang.has_turn(*vcpu)
        });
        for (vcpu, entry) in strangers.take(room) {
            entry.asked_off = Some(Asked::SliceOver);
            sent.push(vcpu);
        }
    }

    /// Nobody waits: slices that are over begin again.
    fn renew(&mut self, now_ns: u64) {
        for entry in &mut self.entries {
            if entry.standing == Standing::OnPcpu && entry.slice_end_ns <= now_ns {
                entry.slice_end_ns = now_ns.saturating_add(self.slice_ns);
            }
        }
        self.gang_end_ns = self.gang_end_ns.max(now_ns.saturating_add(self.slice_ns));
    }

    /// Takes `vcpu` off its pCPU or out of the queue.
    fn take_off(&mut self, vcpu: usize, becomes: Standing, now_ns: u64) {
        let Some(entry) = self.entries.get_mut(vcpu) else {
            return;
        };
        match entry.standing {
            Standing::OnPcpu => {
                entry.virtual_ns = entry.virtual_at(now_ns);
                entry.asked_off = None;
                self.free += 1;
            }
            Standing::Preempted | Standing::Kicked => self.waiting -= 1,
            Standing::Halted | Standing::Away => {}
        }
        entry.standing = becomes;
    }

    /// Puts `vcpu`, which neither runs nor waits, at the back of the queue.
    fn enqueue(&mut self, vcpu: usize, how: Standing, from: Origin, places_lost: u64, now_ns: u64) {
        // Two with one place: the later of them is the one that lost some.
        let place = (self.next_place + places_lost) << 1 | u64::from(places_lost > 0);
        self.next_place += 1;
        let others = self.entries.iter().enumerate().filter(|(other, entry)| {
            *other != vcpu && (entry.standing.waits() || entry.standing == Standing::OnPcpu)
        });
        let floor_ns = match from {
            Origin::Absence => others.map(|(_, entry)| entry.virtual_at(now_ns)).min(),
            Origin::Pcpu => None,
        };
        if let Some(entry) = self.entries.get_mut(vcpu) {
            entry.standing = how;
            entry.place = place;
            entry.virtual_ns = entry.virtual_ns.max(floor_ns.unwrap_or(0));
            self.waiting += 1;
        }
    }

    /// Gives the token that may be free to whom the policy picks.
    fn dispatch(&mut self, now_ns: u64) -> Effects {
        let granted = self.pick(now_ns);
        Effects {
            granted,
            wake_timer: self.waiting > 0 && self.needs_watch(now_ns),
        }
    }

    fn pick(&mut self, now_ns: u64) -> Option<usize> {
        if self.free == 0 || self.waiting == 0 {
            return None;
        }
        let entries = self.entries.iter().enumerate();
        let candidates = entries.filter(|(_, entry)| entry.standing.waits());
        self.candidates.clear();
        self.candidates
            .extend(candidates.map(|(vcpu, entry)| Candidate {
                vcpu,
                place: entry.place,
                virtual_ns: entry.virtual_ns,
            }));
        let candidates = &self.candidates;
        let draws = &mut self.draws;
        self.policy
            .draw(self.decisions.count, self.entries.len(), draws);
        let pick = self.policy.pick(draws, candidates)?;
        if candidates.len() > 1 {
            let index = |candidate: &Candidate| u32::try_from(candidate.vcpu).unwrap_or(u32::MAX);
            self.decisions
                .note(|| candidates.iter().map(index).collect(), draws, pick);
        }
        self.put_on(pick, now_ns);
        Some(pick)
    }

    /// Gives `vcpu`, which waits, the token that is free.
    fn put_on(&mut self, vcpu: usize, now_ns: u64) {
        if let Some(entry) = self.entries.get_mut(vcpu) {
            entry.standing = Standing::OnPcpu;
            entry.since_ns = now_ns;
            entry.slice_end_ns = now_ns.saturating_add(self.slice_ns);
            self.free -= 1;
            self.waiting -= 1;
            self.counts.switches += 1;
        }
    }

    /// Whether the watch over the slices has to be called: it is on then.
    fn needs_watch(&mut self, now_ns: u64) -> bool {
        let was_off = self.watch == Watch::Off;
        if was_off {
            self.renew(now_ns);
        }
        self.watch = Watch::On;
        let Policy::Gang(gang) = &self.policy else {
            return was_off;
        };
        // A member that waits for a stranger's token does not wait for the slice's end.
        was_off || self.members_without(gang) > 0
    }

    /// Members of the gang that wait and for whom no stranger was told to make room yet.
    fn members_without(&self, gang: &Gang) -> usize {
        let members = self.entries.iter().enumerate();
        let waiting = members.filter(|(vcpu, e)| gang.has_turn(*vcpu) && e.standing.waits());
        let asked = self.entries.iter().filter(|e| e.asked_off.is_some());
        waiting.count().saturating_sub(asked.count())
    }
}

#[cfg(all(test, not(loom)))]
#[path = "run_queue_test.rs"]
mod tests;
