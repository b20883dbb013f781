//! Multiboot images in the manner of the x86 world's test suites: they find what they look for, and
//! where QEMU is installed the same image says the same there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vmm_tests::command::{Folder, Vmm, skip, wait};
use vmm_tests::process::Process;

/// Where the images' sources are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/test-images");
const QEMU: &str = "qemu-system-x86_64";
const VCPUS: &str = "2";
/// Two blanks and a quote: nobody may split or join it.
const CMDLINE: &str = "first=\"a  b\" second";
/// With words of its own.
const MODULE: &[u8] = b"the first module";
const MODULE_WORDS: &str = "one  two";
const OTHER_MODULE: &[u8] = b"4321";

/// What an image said on the serial port, and its exit code.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    said: String,
    code: i32,
}

/// An image, assembled from `SOURCES/NAME.S`, with two modules beside it.
struct Image {
    folder: Folder,
    file: PathBuf,
}

impl Image {
    /// `None`, said aloud, where no 32-bit code can be linked.
    fn assemble(name: &str) -> Option<Self> {
        Self::assemble_with(name, &[])
    }

    fn assemble_with(name: &str, options: &[&str]) -> Option<Self> {
        // One a test: they run side by side.
        let folder = Folder::new(&format!("{name}{}", options.concat()));
        let file = folder.path("image");
        let source = Path::new(SOURCES).join(name).with_extension("S");
        let made = Command::new("gcc")
            .args(["-m32", "-nostdlib", "-static", "-no-pie", "-I", SOURCES])
            .arg("-Wl,-N,--build-id=none,-z,noexecstack,--no-warn-rwx-segments")
            .arg("-Wl,--section-start=.multiboot=0x100000,-Ttext=0x101000")
            .args(options)
            .args([&source, Path::new("-o"), &file])
            .output();
        match made {
            Ok(made) if made.status.success() => {}
            Ok(made) => panic!("{name}: {}", String::from_utf8_lossy(&made.stderr)),
            Err(error) => {
                skip("a multiboot image", &format!("gcc: {error}"));
                return None;
            }
        }
        folder.file("module", MODULE);
        folder.file("other", OTHER_MODULE);
        Some(Self { folder, file })
    }

    fn modules(&self) -> [String; 2] {
        let path = |name| self.folder.path(name).display().to_string();
        [format!("{} {MODULE_WORDS}", path("module")), path("other")]
    }

    fn here(&self) -> Verdict {
        let serial = self.folder.path("serial-here");
        let [module, other] = self.modules();
        let finished = Vmm::run("--timeout 60 --memory 128M --vcpus")
            .arg(VCPUS)
            .arg("--serial")
            .arg(&serial)
            .arg("--cmdline")
            .arg(CMDLINE)
            .words("--initrd")
            .arg(module)
            .words("--initrd")
            .arg(other)
            .arg(&self.file)
            .finish();
        Verdict {
            said: fs::read_to_string(serial).unwrap(),
            code: finished.code,
        }
    }

    /// The same under QEMU.
    fn there(&self) -> Option<Verdict> {
        let serial = self.folder.path("serial-there");
        let child = Command::new(QEMU)
            .args(["-accel", "kvm", "-cpu", "host", "-m", "128", "-smp", VCPUS])
            .args(["-no-reboot", "-nodefaults", "-display", "none"])
            .args(["-device", "pc-testdev"])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"])
            .arg("-serial")
            .arg(format!("file:{}", serial.display()))
            .arg("-kernel")
            .arg(&self.file)
            .args(["-append", CMDLINE])
            .args(["-initrd", &self.modules().join(",")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                skip("the comparison with QEMU", &format!("{QEMU}: {error}"));
                return None;
            }
        };
        let finished = wait(child, QEMU.to_owned());
        Some(Verdict {
            said: fs::read_to_string(serial).unwrap(),
            code: finished.code,
        })
    }

    /// It says `expected` lines, ends with `code`, and does the same under QEMU.
    fn says(&self, expected: &[&str], code: i32) {
        let here = self.here();
        let lines: Vec<_> = here.said.lines().collect();
        assert_eq!(lines, expected);
        assert_eq!(here.code, code);
        if let Some(there) = self.there() {
            assert_eq!(here, there, "here, and under QEMU");
        }
    }
}

#[test]
fn an_image_is_told_its_command_line_modules_and_memory() {
    let Some(image) = Image::assemble("info") else {
        return;
    };
    let [module, other] = image.modules();
    image.says(
        &[
            "magic 2badb002",
            "flags 0000004d",
            "lower 0000027f",
            &format!("command line {} {CMDLINE}", image.file.display()),
            "modules 00000002",
            &format!("module: {module}, 00000010 bytes, at a page 00000000, first bytes 20656874"),
            &format!("module: {other}, 00000004 bytes, at a page 00000000, first bytes 31323334"),
            "the map's RAM above 1 MiB less upper 00000000",
        ],
        5 << 1 | 1,
    );
}

#[test]
fn an_image_finds_the_devices_of_test_suites() {
    let Some(image) = Image::assemble("devices") else {
        return;
    };
    image.says(
        &[
            "signature 554d4551",
            "CPUs 00000002",
            "latch 12345678 0000abcd 000000ef",
            "interrupts 00000001",
        ],
        1,
    );
}

#[test]
fn an_image_starts_its_cpus() {
    let Some(image) = Image::assemble("smp") else {
        return;
    };
    image.says(
        &["CPUs up 00000002, sum of their APIC IDs 00000001"],
        0x2a << 1 | 1,
    );
}

#[test]
fn an_image_hears_the_pit_at_the_pin_of_a_pc() {
    let Some(image) = Image::assemble("timer") else {
        return;
    };
    image.says(&["ticking", "ticks 00000005"], 0x11 << 1 | 1);
}

#[test]
fn a_restored_image_goes_on_hearing_the_pit() {
    // Seconds of ticks: it is saved in the middle of them.
    let Some(image) = Image::assemble_with("timer", &["-DTICKS=300"]) else {
        return;
    };
    let (api, saved) = (image.folder.path("api"), image.folder.path("saved"));
    let serial = image.folder.path("serial-here");
    let run = Vmm::run("--timeout 60 --memory 128M --vcpus 1 --serial").arg(&serial);
    let run = run.words("--api").arg(&api).arg(&image.file);
    let process = Process::start(&run, &api);
    process.wait_for_text(&serial, "ticking");
    let snapshot = Vmm::new("snapshot --stop --api").arg(&api).arg(&saved);
    assert_eq!(snapshot.finish().code, 0);
    process.finish();
    for _ in 0..3 {
        let restored = Vmm::new("restore --timeout 60").arg(&saved).finish();
        assert!(restored.stdout.contains("ticks 0000012c"), "{restored}");
        assert_eq!(restored.code, 0x11 << 1 | 1, "{restored}");
    }
}

#[test]
fn an_image_that_restarts_the_machine_ends_the_run() {
    let Some(image) = Image::assemble("reset") else {
        return;
    };
    image.says(&["restarting"], 0);
}
