//! A writer killed at any moment leaves the old file or the new one.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::test_machine::{Folder, PAGE, child, child_path, memory, open, page};
use super::{Progress, Section, SectionKind, write};

const CHILD: &str = "snapshot::kill_test::child_saves_for_ever";
const BYTES: u64 = 2 << 20;
const KILLS: u64 = 100;

/// Saves the machine of generation `number`: the number is in its state and in all its memory.
fn save(path: &Path, memory: &GuestMemoryMmap, number: u64, progress: &mut dyn FnMut(Progress)) {
    for gpa in (0..BYTES).step_by(4096) {
        memory
            .write_slice(&page_of(number), GuestAddress(gpa))
            .unwrap();
    }
    let section = Section::encode(SectionKind::Machine, 0, &number).unwrap();
    write(path, vec![section], memory, progress).unwrap();
}

/// The generation in the file, of which state and memory must agree.
fn generation(path: &Path) -> u64 {
    let snapshot = open(path);
    let number = snapshot.decode(SectionKind::Machine, 0).unwrap();
    let memory = snapshot.map_memory().unwrap();
    for gpa in (0..BYTES).step_by(4096) {
        assert!(page(&memory, gpa) == page_of(number), "page at {gpa:#x}");
    }
    number
}

fn page_of(number: u64) -> Vec<u8> {
    number
        .to_le_bytes()
        .repeat(usize::try_from(PAGE / 8).unwrap())
}

/// Run by the test below; alone it does nothing.
#[test]
fn child_saves_for_ever() {
    let Some(path) = child_path() else { return };
    let memory = memory(&[(0, BYTES)]);
    let mut out = std::io::stdout();
    for number in generation(&path) + 1.. {
        save(&path, &memory, number, &mut |_| {
            writeln!(out, "chunk").unwrap();
        });
        writeln!(out, "saved").unwrap();
    }
}

#[test]
fn a_writer_killed_at_any_moment_leaves_the_old_file_or_the_new_one() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    save(&path, &memory(&[(0, BYTES)]), 1, &mut |_| {});
    let mut left_over = 0;
    for kill in 0..KILLS {
        let mut saved = generation(&path);
        let mut writer = child(&[], CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its lines are the clock: three saves have nine of them, and it goes on while we act.
        let mut lines = BufReader::new(writer.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            // The first may have the harness's words before it.
            .filter(|line| line.ends_with("chunk") || line.ends_with("saved"));
        let wanted = usize::try_from(kill * 7919 % 10).unwrap();
        let early = lines.by_ref().take(wanted).collect::<Vec<_>>();
        writer.kill().unwrap();
        writer.wait().unwrap();
        let said = early.into_iter().chain(lines);
        saved += said.filter(|line| line.ends_with("saved")).count() as u64;

        // What it said is saved is saved; it may have saved one more without saying so.
        let found = generation(&path);
        assert!((saved..=saved + 1).contains(&found), "{found}, not {saved}");
        for name in folder.names() {
            if name != "snapshot.vmm" {
                assert!(name.starts_with(".snapshot.vmm."), "{name}");
                assert!(name.ends_with("-0.tmp"), "{name}");
                std::fs::remove_file(folder.file(&name)).unwrap();
                left_over += 1;
            }
        }
    }
    // Else hardly anybody was killed while writing, and this test shows nothing.
    assert!(left_over > KILLS / 10, "{left_over}");
}
