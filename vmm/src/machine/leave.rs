//! The machine that leaves: what a migration needs of it.

use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::Machine;
use super::pause::PausedMachine;
use super::save::SaveError;
use super::saved::SavedMachine;
use crate::memory::{self, OwnWrites, PAGE_BYTES, PageSource, PageSources, WriteLog};
use crate::migrate::{MachineError, Origin};
use crate::vcpu::ending::Ending;

/// A machine on its way to another process.
#[derive(Debug)]
pub struct Leaving<'m> {
    machine: &'m Machine,
    paused: Option<PausedMachine<'m>>,
    hidden_kicks: u64,
}

impl<'m> Leaving<'m> {
    /// Nothing has happened yet.
    pub fn new(machine: &'m Machine) -> Self {
        Self {
            machine,
            paused: None,
            hidden_kicks: 0,
        }
    }

    /// Kicks that went along though no MP_STATE shows them.
    pub fn hidden_kicks(&self) -> u64 {
        self.hidden_kicks
    }

    /// What the VMM itself writes into guest memory, which KVM's log does not have.
    fn own_writes(&self) -> Option<&OwnWrites> {
        let xen = self.machine.board.xen.as_ref()?;
        Some(&xen.own_writes)
    }

    fn paused(&self) -> Result<&PausedMachine<'m>, MachineError> {
        self.paused
            .as_ref()
            .ok_or_else(|| "the machine is not paused".into())
    }
}

impl Origin for Leaving<'_> {
    fn description(&self) -> Result<Vec<u8>, MachineError> {
        let paused = PausedMachine::pause(self.machine);
        let saved = SavedMachine::of(&paused)?;
        Ok(saved.description.to_wire()?)
    }

    fn memory(&self) -> &GuestMemoryMmap {
        &self.machine.memory
    }

    fn start_dirty_log(&mut self) -> Result<(), MachineError> {
        if let Some(log) = self.own_writes() {
            log.start();
        }
        memory::register(&self.machine.vm, &self.machine.memory, WriteLog::On)?;
        Ok(())
    }

    fn stop_dirty_log(&mut self) {
        // Without it the machine is slower, not wrong.
        let _ = memory::register(&self.machine.vm, &self.machine.memory, WriteLog::Off);
        if let Some(log) = self.own_writes() {
            log.stop();
        }
    }

    fn take_dirty(&mut self, region: usize, bitmap: &mut Vec<u64>) -> Result<(), MachineError> {
        *bitmap = memory::take_written(&self.machine.vm, &self.machine.memory, region)?;
        if let (Some(log), Some(region)) =
            (self.own_writes(), self.machine.memory.iter().nth(region))
        {
            let start = region.start_addr().raw_value();
            for page in log.take(start..start.saturating_add(region.len())) {
                let word = usize::try_from(page / 64)?;
                if let Some(word) = bitmap.get_mut(word) {
                    *word |= 1 << (page % 64);
                }
            }
        }
        Ok(())
    }

    fn pages_in_use(&mut self, region: usize, bitmap: &mut Vec<u64>) -> Result<(), MachineError> {
        const BATCH: usize = 8192;
        bitmap.clear();
        let Some(region) = self.machine.memory.iter().nth(region) else {
            return Ok(());
        };
        let pages = usize::try_from(region.len() / PAGE_BYTES)?;
        bitmap.resize(pages.div_ceil(64), 0);
        let mut sources = PageSources::open();
        let mut found = vec![PageSource::Nowhere; BATCH];
        for first in (0..pages).step_by(BATCH) {
            let found = &mut found[..BATCH.min(pages - first)];
            sources.find(region, first as u64 * PAGE_BYTES, found)?;
            for (page, source) in (first..).zip(found.iter()) {
                if *source != PageSource::Nowhere {
                    bitmap[page / 64] |= 1 << (page % 64);
                }
            }
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), MachineError> {
        self.paused = Some(PausedMachine::pause(self.machine));
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, MachineError> {
        let saved = SavedMachine::of(self.paused()?)?;
        self.hidden_kicks = saved.state.hidden_kicks();
        Ok(saved.state.to_wire()?)
    }

    fn resume(&mut self) {
        if let Some(paused) = self.paused.take() {
            // Without its clocks set the machine does not go on, and says so.
            if let Err(error) = paused.go_on() {
                self.machine.board.end(Ending::Failed(
                    crate::pv::apic_id::VcpuIndex(0),
                    std::io::Error::other(error),
                ));
            }
        }
    }

    fn leave(&mut self) -> Result<(), MachineError> {
        // From here on no vCPU enters the guest, whoever lets it go on.
        if !self.machine.board.end(Ending::Left) {
            // Whoever was told that it has ended must not find it running elsewhere.
            return Err(SaveError::Ended.into());
        }
        self.machine.board.ports.serial.forget_rest();
        self.paused = None;
        Ok(())
    }
}
