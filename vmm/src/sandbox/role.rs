//! What threads there are.

use std::fmt;

use super::call::{Call, List};
use super::calls;
use crate::os::landlock::Deny;

/// What a thread is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The process's first: starts the others, waits for their end, writes the report.
    First,
    /// The main loop: the guest's end, signals, timers, the console's input.
    Loop,
    /// One vCPU.
    Vcpu,
    /// Ends the slices of `--sched`.
    Slices,
    /// One client of the API.
    Api,
    /// Lets clients of the API in, each to a thread of its own.
    Door,
    /// Writes the API's snapshots.
    Snapshot,
    /// Sends the machine away for the API.
    Migration,
    /// Serves gdb.
    Debugger,
    /// The first thread of `vmm receive`, before the machine is there.
    Arrival,
    /// Tells a source that lost the last word that its machine runs here.
    Answer,
}

impl Role {
    /// All of them, by their numbers.
    pub const ALL: [Self; 11] = [
        Self::First,
        Self::Loop,
        Self::Vcpu,
        Self::Slices,
        Self::Api,
        Self::Door,
        Self::Snapshot,
        Self::Migration,
        Self::Debugger,
        Self::Arrival,
        Self::Answer,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first thread",
            Self::Loop => "main loop",
            Self::Vcpu => "vCPU",
            Self::Slices => "end of slices",
            Self::Door => "API's door",
            Self::Api => "API connection",
            Self::Snapshot => "snapshot",
            Self::Migration => "migration",
            Self::Debugger => "debugger",
            Self::Arrival => "arrival",
            Self::Answer => "answer to a source",
        }
    }

    /// What it may call beyond [`calls::every::CALLS`].
    pub fn own_calls(self) -> &'static [List] {
        match self {
            Self::First => &[calls::first::CALLS, calls::threads::STARTS],
            Self::Loop => &[calls::main_loop::CALLS],
            Self::Vcpu => &[calls::vcpu::CALLS],
            Self::Slices => &[],
            Self::Api => &[calls::api::CALLS, calls::machine::GOES_ON],
            Self::Door => &[
                calls::api::DOOR,
                calls::threads::STARTS,
                calls::api::CALLS,
                calls::machine::GOES_ON,
            ],
            Self::Snapshot => &[
                calls::snapshot::CALLS,
                calls::machine::SAVED,
                calls::machine::GOES_ON,
            ],
            Self::Migration => &[
                calls::migration::SENDS,
                calls::migration::WIRE,
                calls::machine::SAVED,
                calls::machine::GOES_ON,
            ],
            Self::Debugger => &[calls::debugger::CALLS, calls::machine::GOES_ON],
            Self::Arrival => &[
                calls::migration::ARRIVES,
                calls::migration::WIRE,
                calls::threads::STARTS,
                calls::machine::SAVED,
                calls::machine::GOES_ON,
                calls::first::CALLS,
                calls::main_loop::CALLS,
                calls::vcpu::CALLS,
                calls::api::DOOR,
                calls::api::CALLS,
                calls::snapshot::CALLS,
                calls::migration::SENDS,
                calls::debugger::CALLS,
                calls::migration::ANSWERS,
            ],
            Self::Answer => &[calls::migration::ANSWERS, calls::migration::WIRE],
        }
    }

    /// What it may call.
    pub fn calls(self) -> impl Iterator<Item = &'static Call> {
        let every = calls::every::CALLS.calls.iter();
        every.chain(self.own_calls().iter().flat_map(|list| list.calls))
    }

    /// What Landlock takes away from it. Only those who have files to open keep a right to.
    pub(super) fn denied(self) -> Deny {
        match self {
            Self::Loop | Self::Vcpu | Self::Slices | Self::Door | Self::Api | Self::Debugger => {
                Deny::Everything
            }
            Self::First | Self::Snapshot => Deny::AllButPlainFiles,
            Self::Migration | Self::Answer | Self::Arrival => Deny::AllButPlainFilesAndTcp,
        }
    }

    /// Whether it starts threads of other roles.
    pub(super) fn starts_threads(self) -> bool {
        matches!(self, Self::Door | Self::Arrival)
    }

    /// Whether it is the process's first thread, which takes the signals sent to the process.
    pub(super) fn is_first_thread(self) -> bool {
        matches!(self, Self::First | Self::Arrival)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
