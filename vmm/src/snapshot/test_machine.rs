//! What the tests save: folders that go away, memory with a pattern, sections of any content.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::{CheckedSnapshot, Error, Progress, Section, SectionKind, Written, write};

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;

/// A folder of one test's own.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vmm-snapshot-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names in it, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Memory with regions of these addresses and lengths, never touched.
pub(super) fn memory(regions: &[(u64, u64)]) -> GuestMemoryMmap {
    let ranges: Vec<_> = regions
        .iter()
        .map(|(gpa, bytes)| (GuestAddress(*gpa), usize::try_from(*bytes).unwrap()))
        .collect();
    GuestMemoryMmap::from_ranges(&ranges).unwrap()
}

/// Fills the page at `gpa` with bytes that depend on `seed` and on the address.
pub(super) fn fill_page(memory: &GuestMemoryMmap, gpa: u64, seed: u64) {
    memory
        .write_slice(&page_bytes(gpa, seed), GuestAddress(gpa))
        .unwrap();
}

/// What [`fill_page`] writes.
pub(super) fn page_bytes(gpa: u64, seed: u64) -> Vec<u8> {
    let mut state = (gpa ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
    let mut bytes = Vec::new();
    while bytes.len() < 4096 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// The page at `gpa`.
pub(super) fn page(memory: &GuestMemoryMmap, gpa: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    memory.read_slice(&mut bytes, GuestAddress(gpa)).unwrap();
    bytes
}

/// A machine's sections, their content generic.
pub(super) fn sections() -> Vec<Section> {
    vec![
        Section::new(SectionKind::Machine, 0, b"machine".to_vec()),
        Section::new(SectionKind::Host, 0, b"host".to_vec()),
        Section::new(SectionKind::Clock, 0, Vec::new()),
        Section::encode(SectionKind::Vcpu, 0, &(1_u64, "halted")).unwrap(),
        Section::encode(SectionKind::Vcpu, 1, &(u64::MAX, "running")).unwrap(),
        Section::new(SectionKind::Devices, 0, vec![0x5a; 300]),
    ]
}

/// Writes a snapshot without looking at its progress.
pub(super) fn save(path: &Path, memory: &GuestMemoryMmap) -> Result<Written, Error> {
    write(path, sections(), memory, &mut ignore)
}

/// Opens a snapshot that is good, memory and all.
pub(super) fn open(path: &Path) -> CheckedSnapshot {
    let snapshot = CheckedSnapshot::open(path).unwrap();
    snapshot.verify_memory(&mut ignore).unwrap();
    snapshot
}

pub(super) fn ignore(_: Progress) {}

/// Kilobytes of the mapping of `memory`'s first region that this process has in RAM.
pub(super) fn rss_kib(memory: &GuestMemoryMmap) -> u64 {
    let region = memory.iter().next().unwrap();
    let start = format!("{:x}-", region.as_ptr() as u64);
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&start));
    let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
    rss.trim().trim_end_matches(" kB").parse().unwrap()
}

/// This test program again, to run `test` alone with `path` in its environment, behind `before`:
/// a command that ends with the command it is to run.
pub(super) fn child(before: &[&str], test: &str, path: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words = before.iter().map(OsStr::new).collect::<Vec<_>>();
    words.push(program.as_os_str());
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, path);
    command
}

/// The path that [`child`] gave, in the child.
pub(super) fn child_path() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

const CHILD: &str = "VMM_SNAPSHOT_TEST_CHILD";
