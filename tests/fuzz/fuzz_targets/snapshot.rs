//! Arbitrary bytes as a snapshot. They are read twice: as they are, and with every CRC and the
//! length made right, as a hostile writer would do it. What is inside the sections is read as a
//! restore reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmm::machine::saved::SavedMachine;
use vmm::snapshot::{Metadata, SectionKind};

const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 40;

fuzz_target!(|data: &[u8]| {
    let mut repaired = data.to_vec();
    // Too short for that: read as it is.
    let _ = repair(&mut repaired);
    for bytes in [data, repaired.as_slice()] {
        let Ok(read) = Metadata::from_bytes(bytes) else {
            continue;
        };
        assert!(read.section(SectionKind::MemoryMap, 0).is_some());
        let end = bytes.len() as u64;
        for section in read.sections() {
            assert!(section.offset + section.bytes <= end);
        }
        for region in read.memory_regions() {
            assert!(region.file_offset + region.bytes <= end);
        }
        // As a restore reads what is inside the sections, and a snapshot of that would write it.
        if let Ok(machine) = SavedMachine::from_sections(&read) {
            let vcpus = machine.state.vcpus.len();
            assert_eq!(vcpus, machine.description.blueprint.vcpus() as usize);
            machine.sections().expect("what was read can be written");
        }
    }
});

fn repair(bytes: &mut [u8]) -> Option<()> {
    let file_bytes = bytes.len() as u64;
    let count = u32::from_le_bytes(bytes.get(16..20)?.try_into().ok()?) as usize;
    let table = HEADER_BYTES..HEADER_BYTES.checked_add(count.checked_mul(ENTRY_BYTES)?)?;
    bytes.get(table.clone())?;
    // Contents that overlap are refused anyway; no need to read the same bytes again and again.
    let mut budget = bytes.len();
    for entry in table.clone().step_by(ENTRY_BYTES) {
        let Some(content) = content(bytes, entry).filter(|content| content.len() <= budget) else {
            continue;
        };
        budget -= content.len();
        let crc32 = crc32fast::hash(content);
        put(bytes, entry + 32, &crc32.to_le_bytes());
    }
    let table_crc32 = crc32fast::hash(bytes.get(table)?);
    put(bytes, 0, b"vmm.snap");
    put(bytes, 20, &table_crc32.to_le_bytes());
    put(bytes, 24, &file_bytes.to_le_bytes());
    let crc32 = crc32fast::hash(bytes.get(..60)?);
    put(bytes, 60, &crc32.to_le_bytes());
    Some(())
}

fn content(bytes: &[u8], entry: usize) -> Option<&[u8]> {
    let number = |at| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let start = usize::try_from(number(entry + 16)?).ok()?;
    let end = start.checked_add(usize::try_from(number(entry + 24)?).ok()?)?;
    bytes.get(start..end)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at + value.len()) {
        to.copy_from_slice(value);
    }
}
