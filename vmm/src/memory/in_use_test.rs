use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestRegionMmap, MmapRegion,
};

use super::*;
use crate::memory::{PrivateRange, map_privately};
use PageSource::{File as Below, Nowhere, Process};

fn find(sources: &mut PageSources, memory: &GuestMemoryMmap, pages: usize) -> Vec<PageSource> {
    let mut found = vec![Nowhere; pages];
    let region = memory.iter().next().unwrap();
    sources.find(region, PAGE_BYTES, &mut found).unwrap();
    found
}

#[test]
fn touched_pages_are_in_the_process_and_others_nowhere() {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 64 << 20)]).unwrap();
    memory.write_slice(&[1], GuestAddress(2 * 4096)).unwrap();
    // Reading counts too: the host has mapped its zero page there.
    memory.read_slice(&mut [0], GuestAddress(4 * 4096)).unwrap();
    let found = find(&mut PageSources::open(), &memory, 5);
    assert_eq!(found, [Nowhere, Process, Nowhere, Process, Nowhere]);
}

#[test]
fn what_is_read_ahead_ends_where_it_ends() {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 100 << 20)]).unwrap();
    let last = (100 << 20) - 4096;
    memory.write_slice(&[1], GuestAddress(last)).unwrap();
    let mut sources = PageSources::open();
    let mut found = vec![Process; (100 << 20) / 4096];
    let region = memory.iter().next().unwrap();
    sources.find(region, 0, &mut found).unwrap();
    assert_eq!(found.pop(), Some(Process));
    assert!(found.iter().all(|source| *source == Nowhere));
}

#[test]
fn a_page_of_a_file_is_there_until_it_is_written() {
    let path = std::env::temp_dir().join(format!("vmm-in-use-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    // Pages 0 to 5 of memory are pages 1 to 6 of the file; 2, 3 and 5 of memory have data.
    file.set_len(7 * 4096).unwrap();
    for page in [3, 4, 6] {
        file.seek(SeekFrom::Start(page * 4096 + 100)).unwrap();
        file.write_all(&[1]).unwrap();
    }
    let range = PrivateRange {
        gpa: 0,
        bytes: 6 * 4096,
        file_offset: 4096,
    };
    let memory = map_privately(&Arc::new(file), &[range]).unwrap();
    let find = || find(&mut PageSources::open(), &memory, 5);
    assert_eq!(find(), [Nowhere, Below, Below, Nowhere, Below]);
    // Looking at pages changes nothing, writing does.
    for page in 0..6 {
        memory
            .read_slice(&mut [0], GuestAddress(page * 4096))
            .unwrap();
    }
    assert_eq!(find(), [Nowhere, Below, Below, Nowhere, Below]);
    for page in [1, 2] {
        memory.write_slice(&[1], GuestAddress(page * 4096)).unwrap();
    }
    assert_eq!(find(), [Process, Process, Below, Nowhere, Below]);
}

#[test]
fn where_nobody_can_say_every_page_is_in_use() {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
    let mut blind = PageSources {
        pagemap: None,
        ..PageSources::open()
    };
    assert_eq!(find(&mut blind, &memory, 3), [Process; 3]);
}

#[test]
fn shared_memory_is_in_use_as_others_may_have_written_it() {
    let flags = libc::MAP_ANONYMOUS | libc::MAP_SHARED;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let mapping = MmapRegion::build(None, 1 << 20, prot, flags).unwrap();
    let region = GuestRegionMmap::new(mapping, GuestAddress(0)).unwrap();
    let memory = GuestMemoryMmap::from_regions(vec![region]).unwrap();
    assert_eq!(find(&mut PageSources::open(), &memory, 3), [Process; 3]);
}
