//! One cycle of a machine that is saved and goes on, in the process that it is in.

use super::campaign::{Campaign, Life, Stop};
use super::child::Child;
use crate::control::Then;

/// Once in so many cycles the machine is paused before it is saved, and resumed after that.
const PAUSED: u64 = 12;

impl Campaign<'_> {
    /// From a machine that runs to the same machine, or to another one where it hangs.
    pub(super) fn stay_cycle(&mut self, mut machine: Child) -> Result<Child, Stop> {
        self.let_run()?;
        let is_paused = self.random.below(PAUSED) == 0;
        if is_paused {
            machine.ask("pause", |client| client.pause())?;
        }
        let done = self.save(&mut machine, Then::Resume)?;
        if is_paused {
            machine.ask("resume", |client| client.resume())?;
        }
        match self.look_after(&mut machine)? {
            Life::GetsOn => {
                self.tally.sources_went_on += 1;
                self.tally.kicks_repaired += done.hidden_kicks;
                self.tally.downtimes_ns.push(done.paused_ns);
                Ok(machine)
            }
            Life::Hangs => {
                let new = self.new_machine()?;
                self.booted(new)
            }
        }
    }
}
