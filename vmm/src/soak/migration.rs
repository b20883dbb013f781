//! One cycle over a socket: moved live into a process that waits for it.

use super::campaign::{Campaign, Life, Stop};
use super::child::Child;
use crate::control::{MigrateRequest, Verify};

impl Campaign<'_> {
    /// From a machine that runs to one that runs.
    pub(super) fn migration_cycle(&mut self, source: Child) -> Result<Child, Stop> {
        // Its own, because the last one is let go only when its process ends.
        let socket = self.folder.path(&format!("{}.move", self.tally.cycles));
        let mut address = std::ffi::OsString::from("unix:");
        address.push(&socket);
        let request = MigrateRequest {
            verify: Verify::Whole,
            ..MigrateRequest::new(address.to_string_lossy())
        };
        let mut target = self.start("receive", vec![address], self.plan.hidden_kicks)?;
        target.await_word()?;
        self.let_run()?;
        let done = source.ask("migrate", |client| client.migrate(&request))?;
        self.tally.hidden_kicks += done.hidden_kicks;
        self.leaves(source);
        match self.look_after(&mut target)? {
            Life::GetsOn => {
                self.tally.downtimes_ns.push(done.downtime_ns);
                let (status, _) = target.status()?;
                self.tally.kicks_repaired += status.kicks_repaired;
                Ok(target)
            }
            // Nobody has it any more.
            Life::Hangs => {
                let new = self.new_machine()?;
                self.booted(new)
            }
        }
    }
}
