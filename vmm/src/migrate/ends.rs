//! The machine that leaves and the machine that arrives, as far as moving them needs to know.

use std::fmt;

use vm_memory::GuestMemoryMmap;

/// What went wrong inside a machine.
pub type MachineError = Box<dyn std::error::Error + Send + Sync>;

/// The machine that leaves.
///
/// The engine calls `start_dirty_log`, then `pages_in_use` once per region, then `take_dirty` after
/// each round; then `pause`, `save`, `take_dirty` once more; then either `resume` (any fault) or
/// `leave` (commit). A region is an index into [`Origin::memory`]'s regions, in their order.
pub trait Origin {
    /// Configuration and needs of the machine, opaque to the engine; the target judges it.
    ///
    /// # Errors
    /// Why it cannot be described.
    fn description(&self) -> Result<Vec<u8>, MachineError>;

    /// Guest memory.
    fn memory(&self) -> &GuestMemoryMmap;

    /// From here on every write to guest memory, a vCPU's or the VMM's, is logged.
    ///
    /// # Errors
    /// Why not; the machine runs on.
    fn start_dirty_log(&mut self) -> Result<(), MachineError>;

    /// Ends the log. Called on every way out but [`Origin::leave`], also if starting it failed.
    fn stop_dirty_log(&mut self);

    /// Replaces `bitmap` by the pages of `region` written since the last call, bit n of word n / 64
    /// for page n of the region, and clears the log. Missing words are zero, bits beyond the region
    /// are ignored.
    ///
    /// # Errors
    /// Why the log cannot be read; the migration ends and the machine runs on.
    fn take_dirty(&mut self, region: usize, bitmap: &mut Vec<u64>) -> Result<(), MachineError>;

    /// Replaces `bitmap` by the pages of `region` that may hold something other than zero. What is
    /// not in it is not sent until the dirty log names it. Called while the log runs.
    ///
    /// # Errors
    /// As for [`Origin::take_dirty`].
    fn pages_in_use(&mut self, region: usize, bitmap: &mut Vec<u64>) -> Result<(), MachineError>;

    /// All vCPUs stand still when it returns.
    ///
    /// # Errors
    /// Why they do not; [`Origin::resume`] follows.
    fn pause(&mut self) -> Result<(), MachineError>;

    /// The state of the paused machine without its memory, opaque to the engine. It may write to
    /// guest memory: the log is taken once more afterwards.
    ///
    /// # Errors
    /// Why it cannot be saved; [`Origin::resume`] follows.
    fn save(&mut self) -> Result<Vec<u8>, MachineError>;

    /// Goes on here as if nothing had happened. Called only after `pause` was.
    fn resume(&mut self);

    /// Commit: the machine never runs here again. Called before the first byte of COMMIT goes out.
    ///
    /// # Errors
    /// It has come to its end meanwhile, and must not run elsewhere; [`Origin::resume`] follows.
    fn leave(&mut self) -> Result<(), MachineError>;
}

/// The machine that arrives.
pub trait Destination {
    /// Judges the description and gives the memory to fill, all zero, with the regions of the source.
    ///
    /// # Errors
    /// Everything in which this host or program differs; it is sent to the source.
    fn accept(&mut self, description: &[u8]) -> Result<GuestMemoryMmap, Refusal>;

    /// Takes the state over the filled memory. Afterwards the machine is paused and ready to run:
    /// all that can fail has been done.
    ///
    /// # Errors
    /// Why not; it is sent to the source, which goes on.
    fn load(&mut self, state: &[u8]) -> Result<(), Refusal>;

    /// Commit: runs. Called at most once, and never before the source has left.
    ///
    /// # Errors
    /// Why it does not run: then the machine is lost, and the source is told so.
    fn run(&mut self) -> Result<(), MachineError>;

    /// Drops everything: the machine is the source's. Called at most once, never after `run`.
    fn discard(&mut self);
}

/// What differs, so that a machine cannot run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// One line each.
    pub differences: Vec<String>,
}

impl Refusal {
    /// A refusal for one reason.
    pub fn because(difference: impl Into<String>) -> Self {
        Self {
            differences: vec![difference.into()],
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.differences.join("; "))
    }
}
