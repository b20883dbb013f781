//! Guests that cannot be started.

use guest_payload::IMAGE;
use vmm::boot::{Image, elf};
use vmm_tests::command::{Folder, Vmm};
use vmm_tests::elf::{CODE_GPA, Elf};
use vmm_tests::multiboot;

use super::{HOST, USAGE, refuse};

#[test]
fn files_that_are_no_guest() {
    let folder = Folder::new("no-guest");
    let good = || Elf::guest(b"\xf4");
    let change = |change: fn(&mut Elf)| {
        let mut elf = good();
        change(&mut elf);
        elf.bytes()
    };
    let high = good().segment(1 << 40, b"x", 1).bytes();
    let hole = good().segment(0xfee0_0000, b"x", 1).bytes();
    let rows: [(&str, Vec<u8>, &str); 15] = [
        ("script", b"#!/bin/sh\n".to_vec(), "not an ELF file"),
        ("empty", Vec::new(), "not an ELF file"),
        ("bits", change(|elf| elf.class = 1), "a 32-bit ELF"),
        ("arm", change(|elf| elf.machine = 183), "machine 183"),
        ("notes", change(|elf| elf.notes.clear()), "no PVH entry"),
        ("magic", IMAGE[..4].to_vec(), "truncated"),
        ("header", IMAGE[..63].to_vec(), "truncated"),
        ("headers", IMAGE[..100].to_vec(), "truncated"),
        ("half", IMAGE[..IMAGE.len() / 2].to_vec(), "truncated"),
        ("last", IMAGE[..IMAGE.len() - 1].to_vec(), "truncated"),
        (
            "overlap",
            good().segment(CODE_GPA + 8, b"x", 8).bytes(),
            "overlap",
        ),
        ("outside", high, "outside guest memory"),
        ("hole", hole, "outside guest memory"),
        (
            "boot",
            good().segment(0x6000, b"x", 8).bytes(),
            "the PVH start info",
        ),
        ("stub", good().stub_page(0x7000_0000).bytes(), "stub page"),
    ];
    for (name, content, part) in rows {
        let path = folder.file(name, &content);
        refuse(&folder, &Vmm::run("--timeout 5").arg(&path), USAGE, part);
    }
    let missing = Vmm::run("").arg(folder.path("nobody"));
    refuse(&folder, &missing, USAGE, "No such file");
    refuse(
        &folder,
        &Vmm::run("").arg(folder.path("")),
        USAGE,
        "cannot read the guest",
    );
    // The second has no end.
    for device in ["/dev/null", "/dev/zero"] {
        let vmm = Vmm::run(device).within_mib(400);
        refuse(&folder, &vmm, USAGE, "not an ELF file");
    }
    // The reason once.
    let script = Vmm::run("").arg(folder.path("script")).finish();
    assert_eq!(script.stderr.matches("ELF").count(), 1, "{script}");
}

/// A bzImage of protocol 2.15 with nothing in it, which takes memory up to 24 MiB.
fn bzimage() -> Vec<u8> {
    let mut bytes = vec![0; 0x2000];
    let fields: [(usize, &[u8]); 11] = [
        (0x1f1, b"\x01"),
        (0x1f4, b"\xc0\x01"),
        (0x1fe, b"\x55\xaa\xeb\x6aHdrS\x0f\x02"),
        (0x211, b"\x01"),
        (0x214, b"\0\0\x10\0"),
        (0x22c, b"\xff\xff\xff\x7f"),
        (0x230, b"\0\0\x20\0\x01"),
        (0x236, b"\x01"),
        (0x238, b"\xff\x07"),
        (0x258, b"\0\0\0\x01"),
        (0x260, b"\0\0\x80\0"),
    ];
    for (at, field) in fields {
        bytes[at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

#[test]
fn foreign_images_that_cannot_be_started() {
    let folder = Folder::new("foreign");
    let with = |at: usize, field: &[u8]| {
        let mut bytes = bzimage();
        bytes[at..at + field.len()].copy_from_slice(field);
        bytes
    };
    let zeros = |at: usize, magic: &[u8]| {
        let mut bytes = vec![0; 100];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    };
    let multiboot = |flags| multiboot::elf(b"\xf4", flags);
    let cut = multiboot(0);
    let mut other_machine = multiboot(0);
    other_machine[18] = 40;
    let rows: [(&str, Vec<u8>, &str); 11] = [
        ("gz", zeros(0, b"\x1f\x8b"), "gzip data"),
        ("arm64", zeros(0x38, b"ARM\x64"), "for arm64"),
        (
            "cut",
            bzimage()[..0x1fff].to_vec(),
            "truncated: the bzImage",
        ),
        ("old", with(0x206, &[9]), "boot protocol 2.09"),
        ("32", with(0x236, &[0]), "a 32-bit kernel"),
        ("low", with(0x211, &[0]), "a zImage"),
        ("odd", with(0x230, &[3]), "kernel_alignment"),
        ("large", with(0x260, &[0; 3]), "outside guest memory"),
        ("flags", multiboot(1 << 3), "features 0x8"),
        ("machine", other_machine, "machine 40"),
        (
            "half",
            cut[..cut.len() - 1].to_vec(),
            "truncated: the multiboot",
        ),
    ];
    for (name, mut content, part) in rows {
        if name == "large" {
            content[0x263] = 0x10;
        }
        let path = folder.file(name, &content);
        let vmm = Vmm::run("--timeout 5 --memory 32M").arg(&path);
        refuse(&folder, &vmm, USAGE, part);
    }
}

#[test]
fn initrds_and_command_lines_that_do_not_fit() {
    let folder = Folder::new("initrd");
    let kernel = folder.file("bzImage", &bzimage());
    let run = || Vmm::run("--timeout 5 --memory 32M").arg(&kernel);
    let large = folder.file("large", &vec![0; (8 << 20) + 1]);
    let larger = folder.file("larger", &vec![0; (32 << 20) + 1]);
    for (path, part) in [
        (folder.path("nobody"), "cannot read the initrd"),
        (large, "the initrd of 8392704 bytes does not fit"),
        (larger, "larger than the guest's memory"),
        ("/dev/zero".into(), "larger than the guest's memory"),
    ] {
        refuse(&folder, &run().arg("--initrd").arg(path), USAGE, part);
    }
    let long = run().arg("--cmdline").arg("a".repeat(2048));
    refuse(&folder, &long, USAGE, "2047 are the most");
}

#[test]
fn the_payload_cut_anywhere_is_refused() {
    assert!(elf::Image::check(IMAGE).is_ok());
    for length in 0..IMAGE.len() {
        let refused = elf::Image::check(&IMAGE[..length]);
        assert!(refused.is_err(), "cut at {length}");
    }
}

proptest::proptest! {
    #[test]
    fn the_payload_with_wrong_headers_is_refused_or_fits(at in 0_usize..176, byte: u8) {
        let mut bytes = IMAGE.to_vec();
        bytes[at] = byte;
        if let Ok(image) = Image::identify(&bytes)
            && image.check_fits(128 << 20).is_ok()
        {
            for segment in image.segments() {
                proptest::prop_assert!(segment.file.end <= bytes.len());
                proptest::prop_assert!(segment.end() <= 128 << 20);
            }
        }
    }
}

#[test]
fn memory_that_does_not_hold_the_guest() {
    let folder = Folder::new("memory");
    let guest = folder.file(
        "guest",
        &Elf::guest(b"\xf4").segment(8 << 20, b"x", 4096).bytes(),
    );
    for memory in ["2M", "8M"] {
        let vmm = Vmm::run("--memory").arg(memory).arg(&guest);
        refuse(&folder, &vmm, USAGE, "with --memory");
    }
    // The host's limit: nothing of the serial port's file before it is known.
    let serial = folder.file("serial", b"of yesterday");
    let vmm = Vmm::run("--memory 65536G --serial").arg(&serial);
    refuse(&folder, &vmm, HOST, "guest memory");
}

#[test]
fn command_lines_that_are_too_long() {
    let folder = Folder::new("long");
    let guest = folder.file("guest", &Elf::guest(b"\xf4").bytes());
    let vmm = Vmm::run("--timeout 5")
        .arg(guest)
        .arg("--")
        .arg("x".repeat(66_000));
    refuse(&folder, &vmm, USAGE, "command line");
}
