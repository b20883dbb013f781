use std::os::unix::fs::MetadataExt;

use super::test_machine::{
    Folder, PAGE, fill_page, memory, open, page, page_bytes, save, sections,
};
use super::*;

#[test]
fn what_is_written_is_read() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    let regions = [(0, 3 << 20), (1 << 32, (1 << 20) + 3 * PAGE)];
    let memory = memory(&regions);
    let filled = [0, 5 * PAGE, (3 << 20) - PAGE, (1 << 32) + (1 << 20) + PAGE];
    for gpa in filled {
        fill_page(&memory, gpa, 7);
    }
    let written = save(&path, &memory).unwrap();
    assert_eq!(written.pages, 4);
    assert_eq!(written.file_bytes, path.metadata().unwrap().size());
    assert_eq!(folder.names(), ["snapshot.vmm"]);

    let snapshot = open(&path);
    assert_eq!(snapshot.version(), 1);
    assert_eq!(snapshot.writer(), THIS_WRITER);
    for section in sections() {
        let read = snapshot.section(section.kind, section.instance);
        assert_eq!(read, Some(section.content.as_slice()));
    }
    let vcpu: (u64, String) = snapshot.decode(SectionKind::Vcpu, 1).unwrap();
    assert_eq!(vcpu, (u64::MAX, "running".to_owned()));
    let found: Vec<_> = snapshot
        .memory_regions()
        .iter()
        .map(|region| (region.gpa, region.bytes))
        .collect();
    assert_eq!(found, regions);

    let restored = snapshot.map_memory().unwrap();
    for (start, bytes) in regions {
        for gpa in (start..start + bytes).step_by(4096) {
            let expected = match filled.contains(&gpa) {
                true => page_bytes(gpa, 7),
                false => vec![0; 4096],
            };
            assert!(page(&restored, gpa) == expected, "page at {gpa:#x}");
        }
    }
}
