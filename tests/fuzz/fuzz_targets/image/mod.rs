//! What all targets of images do with one that is let through.

use vm_memory::{GuestAddress, GuestMemoryMmap};
use vmm::boot::load::{self, Plan, Told};
use vmm::boot::module::Module;
use vmm::boot::symbols::Symbols;
use vmm::boot::{Entry, Image, image};

const MEMORY_BYTES: usize = 32 << 20;

/// `data` with `bytes` at `at`, if it reaches so far.
pub fn with(data: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    if let Some(room) = data.get_mut(at..at + bytes.len()) {
        room.copy_from_slice(bytes);
    }
    data
}

/// Checks `data` as an image, and loads it with a module if it fits.
pub fn load(data: &[u8]) {
    let head = &data[..data.len().min(image::HEAD_BYTES)];
    let Ok(image) = Image::identify(data) else {
        return;
    };
    assert!(image::check_head(head).is_ok());
    let symbols = Symbols::read(data);
    let _ = (symbols.find("main"), symbols.at(0x10_0000));
    for segment in image.segments() {
        assert!(segment.file.end <= data.len());
        let _ = image.code(data, segment.linear, 4);
    }
    if image.check_fits(MEMORY_BYTES as u64).is_err() {
        return;
    }
    let modules = [Module {
        command_line: "initrd".to_owned(),
        content: vec![7; 100],
    }];
    let Ok(plan) = Plan::new(&image, data, &modules, MEMORY_BYTES as u64) else {
        return;
    };
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_BYTES)]);
    let ram = 0..MEMORY_BYTES as u64;
    let told = Told {
        ram: std::slice::from_ref(&ram),
        command_line: "quiet",
        added_bytes: 0,
        apic_ids: &[0, 1],
    };
    let entry = match plan.load(&memory.expect("memory"), &told) {
        // A kernel says how long a command line it takes, and it may take none.
        Err(load::Error::CommandLine(_)) => return,
        // All else that can be refused has been: what fits is loaded.
        loaded => loaded.expect("fits"),
    };
    let at = match entry {
        Entry::Pvh { entry, .. } | Entry::Multiboot { entry, .. } => entry.into(),
        Entry::Linux64 { entry, .. } => entry,
    };
    assert!(at < MEMORY_BYTES as u64);
}
