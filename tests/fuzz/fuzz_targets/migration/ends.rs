//! Machines that hold the engine to its side of the contract.

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm::machine::saved::Description;
use vmm::machine::state::MachineState;
use vmm::migrate::{Destination, MachineError, Origin, PAGE_BYTES, Refusal};

/// First page and pages of each region.
pub const REGIONS: [(u64, u64); 2] = [(0, 12), (1 << 20, 4)];
/// Descriptions and states that begin so are refused.
const UNWANTED: &[u8] = b"no";

/// What a machine does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doing {
    #[default]
    Nothing,
    /// It was accepted.
    Fills,
    /// It was loaded.
    Ready,
    Runs,
    Paused,
    Left,
}

fn memory() -> GuestMemoryMmap {
    let ranges = REGIONS.map(|(page, pages)| {
        let bytes = usize::try_from(pages).expect("a few") * PAGE_BYTES;
        (GuestAddress(page * PAGE_BYTES as u64), bytes)
    });
    GuestMemoryMmap::from_ranges(&ranges).expect("some pages")
}

/// The machine that arrives.
#[derive(Debug, Default)]
pub struct TestDestination {
    pub doing: Doing,
}

impl Destination for TestDestination {
    fn accept(&mut self, description: &[u8]) -> Result<GuestMemoryMmap, Refusal> {
        assert_eq!(self.doing, Doing::Nothing);
        let _ = Description::from_wire(description);
        if description.starts_with(UNWANTED) {
            return Err(Refusal::because(String::from_utf8_lossy(description)));
        }
        self.doing = Doing::Fills;
        Ok(memory())
    }

    fn load(&mut self, state: &[u8]) -> Result<(), Refusal> {
        assert_eq!(self.doing, Doing::Fills);
        let _ = MachineState::from_wire(state);
        if state.starts_with(UNWANTED) {
            return Err(Refusal::because("no"));
        }
        self.doing = Doing::Ready;
        Ok(())
    }

    fn run(&mut self) -> Result<(), MachineError> {
        assert_eq!(self.doing, Doing::Ready);
        self.doing = Doing::Runs;
        Ok(())
    }

    fn discard(&mut self) {
        assert!([Doing::Fills, Doing::Ready].contains(&self.doing));
        self.doing = Doing::Nothing;
    }
}

/// The machine that leaves: its guest writes a page between any two looks at the log.
#[derive(Debug)]
pub struct TestOrigin {
    pub doing: Doing,
    pub logs: bool,
    memory: GuestMemoryMmap,
    looks: u8,
}

impl Default for TestOrigin {
    fn default() -> Self {
        Self {
            doing: Doing::Runs,
            logs: false,
            memory: memory(),
            looks: 0,
        }
    }
}

impl Origin for TestOrigin {
    fn description(&self) -> Result<Vec<u8>, MachineError> {
        Ok(b"a machine".to_vec())
    }

    fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    fn start_dirty_log(&mut self) -> Result<(), MachineError> {
        self.logs = true;
        Ok(())
    }

    fn stop_dirty_log(&mut self) {
        self.logs = false;
    }

    fn take_dirty(&mut self, region: usize, bitmap: &mut Vec<u64>) -> Result<(), MachineError> {
        assert!(self.logs);
        self.looks = self.looks.wrapping_add(1);
        let (page, pages) = REGIONS[region];
        let dirty = u64::from(self.looks) % pages;
        if self.doing == Doing::Runs {
            let at = GuestAddress((page + dirty) * PAGE_BYTES as u64);
            self.memory.write_obj(self.looks, at)?;
        }
        bitmap.clear();
        bitmap.push(1 << dirty);
        Ok(())
    }

    fn pages_in_use(&mut self, region: usize, bitmap: &mut Vec<u64>) -> Result<(), MachineError> {
        self.take_dirty(region, bitmap)
    }

    fn pause(&mut self) -> Result<(), MachineError> {
        assert_eq!(self.doing, Doing::Runs);
        self.doing = Doing::Paused;
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, MachineError> {
        assert_eq!(self.doing, Doing::Paused);
        Ok(b"its state".to_vec())
    }

    fn resume(&mut self) {
        assert_eq!(self.doing, Doing::Paused);
        self.doing = Doing::Runs;
    }

    fn leave(&mut self) -> Result<(), MachineError> {
        assert_eq!(self.doing, Doing::Paused);
        self.doing = Doing::Left;
        Ok(())
    }
}
