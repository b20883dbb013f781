//! The machine that arrives: what a migration needs of it.

use kvm_ioctls::Kvm;
use vm_memory::GuestMemoryMmap;

use super::load::Loading;
use super::pause::PausedMachine;
use super::ple::PleSetup;
use super::rebuild::rebuild;
use super::saved::Description;
use super::state::MachineState;
use super::{Error, Machine};
use crate::error_chain::in_one_line;
use crate::memory;
use crate::migrate::{Destination, MachineError, Refusal};
use crate::os::limits;
use crate::spec::HostSide;

/// What a machine does first where it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// It runs.
    Run,
    /// It stands still as by [`PausedMachine::stay`]: for a debugger.
    Stay,
}

/// A place for a machine from another process.
#[derive(Debug)]
pub struct Arriving<'a> {
    kvm: &'a Kvm,
    host: &'a HostSide,
    loading: Loading,
    first: First,
    /// Looked for before strangers are let in: a filter forbids it then.
    ple: Option<PleSetup>,
    /// Stands still until it runs here.
    machine: Option<Machine>,
    kicks_repaired: u64,
}

impl<'a> Arriving<'a> {
    /// Nothing has come yet.
    pub fn new(kvm: &'a Kvm, host: &'a HostSide, loading: Loading, first: First) -> Self {
        Self {
            kvm,
            host,
            loading,
            first,
            ple: PleSetup::new(&host.lab),
            machine: None,
            kicks_repaired: 0,
        }
    }

    /// The machine, doing what it does first, once it has come, and how many kicks were given back to it.
    pub fn into_machine(self) -> Option<(Machine, u64)> {
        self.machine.map(|machine| (machine, self.kicks_repaired))
    }

    fn build(&mut self, description: Description) -> Result<GuestMemoryMmap, Error> {
        let size = description.blueprint.memory()?;
        let most = limits::physical_memory_bytes();
        if size.bytes() > most {
            return Err(Error::MoreThanTheHostHas { size, most });
        }
        let memory = memory::map(size)?;
        let mut machine = rebuild(
            self.kvm,
            description,
            memory.clone(),
            self.host,
            self.ple.clone(),
            self.loading.shortfalls,
        )?;
        machine.start_paused()?.stay();
        self.machine = Some(machine);
        Ok(memory)
    }
}

fn because(error: &dyn std::error::Error) -> Refusal {
    Refusal::because(in_one_line(error))
}

impl Destination for Arriving<'_> {
    fn accept(&mut self, description: &[u8]) -> Result<GuestMemoryMmap, Refusal> {
        let description = Description::from_wire(description).map_err(|error| because(&error))?;
        self.build(description).map_err(|error| match error {
            Error::OtherHost(differences) => Refusal {
                differences: differences.iter().map(ToString::to_string).collect(),
            },
            error => because(&error),
        })
    }

    fn load(&mut self, state: &[u8]) -> Result<(), Refusal> {
        let state = MachineState::from_wire(state).map_err(|error| because(&error))?;
        let machine = self
            .machine
            .as_ref()
            .ok_or_else(|| Refusal::because("no machine was described"))?;
        let paused = PausedMachine::pause(machine);
        let loaded = paused.load(state, self.loading);
        self.kicks_repaired = loaded.map_err(|error| because(&error))?;
        Ok(())
    }

    fn run(&mut self) -> Result<(), MachineError> {
        if let Some(machine) = &self.machine {
            if self.first == First::Stay {
                // Before the hold of the arrival ends: no instruction comes between.
                PausedMachine::pause(machine).stay();
            }
            PausedMachine::who_stayed(machine).go_on()?;
        }
        Ok(())
    }

    fn discard(&mut self) {
        // Its threads have never entered the guest, and are told to stop before they could.
        if let Some(machine) = self.machine.take() {
            machine.request_stop();
        }
    }
}
