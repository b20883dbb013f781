//! Machines without KVM, for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::PAGE_BYTES;
use super::ends::{Destination, MachineError, Origin, Refusal};

/// Pages of the two regions.
pub(super) const PAGES: [u64; 2] = [200, 60];
const STARTS: [u64; 2] = [0, 1 << 32];

pub(super) fn memory() -> GuestMemoryMmap {
    let ranges: Vec<_> = STARTS
        .into_iter()
        .zip(PAGES)
        .map(|(start, pages)| {
            (
                GuestAddress(start),
                usize::try_from(pages).unwrap() * PAGE_BYTES,
            )
        })
        .collect();
    GuestMemoryMmap::from_ranges(&ranges).unwrap()
}

pub(super) fn address(page: u64) -> GuestAddress {
    if page < PAGES[0] {
        GuestAddress(page * PAGE_BYTES as u64)
    } else {
        GuestAddress(STARTS[1] + (page - PAGES[0]) * PAGE_BYTES as u64)
    }
}

pub(super) fn contents(memory: &GuestMemoryMmap) -> Vec<u8> {
    let mut all = Vec::new();
    for page in 0..PAGES.iter().sum() {
        let mut bytes = [0; PAGE_BYTES];
        memory.read_slice(&mut bytes, address(page)).unwrap();
        all.extend(bytes);
    }
    all
}

/// What a side does with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    Paused,
    Runs,
    Left,
    Killed,
}

/// Who does what, seen by both sides at once.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) source: Doing,
    pub(super) target: Doing,
    pub(super) both_ran: bool,
    pub(super) logging: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Ledger {
            source: Doing::Runs,
            target: Doing::Nothing,
            both_ran: false,
            logging: false,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap()
    }

    fn source(&self, doing: Doing) {
        let mut ledger = self.lock();
        if ledger.source != Doing::Killed {
            ledger.source = doing;
            ledger.both_ran |= doing == Doing::Runs && ledger.target == Doing::Runs;
        }
    }

    fn target(&self, doing: Doing) {
        let mut ledger = self.lock();
        if ledger.target != Doing::Killed {
            ledger.target = doing;
            let left = matches!(ledger.source, Doing::Left | Doing::Killed);
            ledger.both_ran |= doing == Doing::Runs && !left;
        }
    }
}

/// What goes wrong inside a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    Describe,
    Log,
    Pause,
    Save,
    Accept,
    Memory,
    Load,
    /// A page changes and the log does not say so.
    MissedPage,
}

pub(super) struct FakeOrigin {
    pub(super) memory: GuestMemoryMmap,
    pub(super) shared: Shared,
    pub(super) trouble: Trouble,
    dirty: Arc<Mutex<[Vec<u64>; 2]>>,
    /// What the guest writes between one look at the log and the next.
    writes: VecDeque<Vec<(u64, u8)>>,
    /// Writes past the log.
    missed: u8,
}

pub(super) const STATE: &[u8] = b"four vCPUs, one of them halted";

impl FakeOrigin {
    pub(super) fn new(shared: &Shared, writes: Vec<Vec<(u64, u8)>>) -> Self {
        let mut origin = Self {
            memory: memory(),
            shared: shared.clone(),
            trouble: Trouble::None,
            dirty: Arc::default(),
            writes: writes.into(),
            missed: 0x80,
        };
        // Before the log runs.
        origin.run();
        origin
    }

    fn run(&mut self) {
        for (page, fill) in self.writes.pop_front().unwrap_or_default() {
            write(&self.memory, &self.dirty, page, fill);
        }
    }

    /// The guest as a thread may have it.
    pub(super) fn guest(&self) -> impl Fn(u64, u8) + Send + 'static {
        let (memory, dirty) = (self.memory.clone(), Arc::clone(&self.dirty));
        move |page, fill| write(&memory, &dirty, page, fill)
    }
}

/// The log first: a page that is logged and not yet written is sent once too often, not never.
fn write(memory: &GuestMemoryMmap, dirty: &Mutex<[Vec<u64>; 2]>, page: u64, fill: u8) {
    let region = usize::from(page >= PAGES[0]);
    let bit = if region == 0 { page } else { page - PAGES[0] };
    let mut dirty = dirty.lock().unwrap();
    let word = usize::try_from(bit / 64).unwrap();
    let words = &mut dirty[region];
    words.resize(words.len().max(word + 1), 0);
    words[word] |= 1 << (bit % 64);
    // Under the lock, as KVM logs and writes in one go.
    memory
        .write_slice(&[fill; PAGE_BYTES], address(page))
        .unwrap();
}

impl Origin for FakeOrigin {
    fn description(&self) -> Result<Vec<u8>, MachineError> {
        match self.trouble {
            Trouble::Describe => Err("no words".into()),
            _ => Ok(b"a fake".to_vec()),
        }
    }

    fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    fn start_dirty_log(&mut self) -> Result<(), MachineError> {
        if self.trouble == Trouble::Log {
            return Err("no log".into());
        }
        self.shared.lock().logging = true;
        Ok(())
    }

    fn stop_dirty_log(&mut self) {
        self.shared.lock().logging = false;
    }

    fn take_dirty(&mut self, region: usize, bitmap: &mut Vec<u64>) -> Result<(), MachineError> {
        *bitmap = std::mem::take(&mut self.dirty.lock().unwrap()[region]);
        // Written after the look: the next one shows it.
        if region == 1 && self.shared.lock().source == Doing::Runs {
            self.run();
            if self.trouble == Trouble::MissedPage {
                self.missed += 1;
                self.memory.write_slice(&[self.missed], address(3)).unwrap();
            }
        }
        Ok(())
    }

    fn pages_in_use(&mut self, region: usize, bitmap: &mut Vec<u64>) -> Result<(), MachineError> {
        self.take_dirty(region, bitmap)
    }

    fn pause(&mut self) -> Result<(), MachineError> {
        self.shared.source(Doing::Paused);
        match self.trouble {
            Trouble::Pause => Err("a vCPU does not stop".into()),
            _ => Ok(()),
        }
    }

    fn save(&mut self) -> Result<Vec<u8>, MachineError> {
        assert_ne!(self.shared.lock().source, Doing::Runs);
        // Saving finishes an I/O that writes to memory.
        write(&self.memory, &self.dirty, 5, 0x55);
        match self.trouble {
            Trouble::Save => Err("a register hides".into()),
            _ => Ok(STATE.to_vec()),
        }
    }

    fn resume(&mut self) {
        self.shared.source(Doing::Runs);
    }

    fn leave(&mut self) -> Result<(), MachineError> {
        self.shared.source(Doing::Left);
        Ok(())
    }
}

pub(super) struct FakeDestination {
    pub(super) memory: GuestMemoryMmap,
    pub(super) shared: Shared,
    pub(super) trouble: Trouble,
    pub(super) loaded: bool,
    pub(super) state: Vec<u8>,
}

impl FakeDestination {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            memory: memory(),
            shared: shared.clone(),
            trouble: Trouble::None,
            loaded: false,
            state: Vec::new(),
        }
    }
}

impl Destination for FakeDestination {
    fn accept(&mut self, _: &[u8]) -> Result<GuestMemoryMmap, Refusal> {
        match self.trouble {
            Trouble::Accept => Err(Refusal {
                differences: vec!["no AVX-512".into(), "TSC at 2.1 GHz, not 3.0".into()],
            }),
            Trouble::Memory => {
                let small = [(GuestAddress(0), PAGE_BYTES)];
                Ok(GuestMemoryMmap::from_ranges(&small).unwrap())
            }
            _ => Ok(self.memory.clone()),
        }
    }

    fn load(&mut self, state: &[u8]) -> Result<(), Refusal> {
        if self.trouble == Trouble::Load {
            return Err(Refusal::because("MSR 0x1d9 does not take its value"));
        }
        self.state = state.to_vec();
        self.loaded = true;
        self.shared.target(Doing::Paused);
        Ok(())
    }

    fn run(&mut self) -> Result<(), MachineError> {
        assert!(self.loaded);
        self.shared.target(Doing::Runs);
        Ok(())
    }

    fn discard(&mut self) {
        assert_ne!(self.shared.lock().target, Doing::Runs);
        self.loaded = false;
        self.shared.target(Doing::Nothing);
    }
}
