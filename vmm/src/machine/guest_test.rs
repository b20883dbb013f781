use super::*;
use crate::spec::GivenCmdline;
use vmm_tests::command::Folder;
use vmm_tests::elf::Elf;

fn guest(folder: &Folder) -> Guest {
    Guest::File(folder.file("guest", &Elf::guest(b"\xf4Linux version 6.1").bytes()))
}

fn size() -> MemorySize {
    MemorySize::from_mib(4)
}

/// The chain of causes, as `main` prints it.
fn refusal(read: Result<LoadedGuest, Error>) -> String {
    let line = crate::error_chain::in_one_line(&read.unwrap_err());
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn an_initrd_that_cannot_be_had_is_named() {
    let folder = Folder::new("initrds");
    let read = |path: PathBuf| LoadedGuest::read(&guest(&folder), &[path], size());
    assert!(refusal(read(folder.path("nobody"))).contains("cannot read the initrd"));
    let large = folder.file("large", &vec![0; (4 << 20) + 1]);
    assert!(refusal(read(large)).contains("is larger than the guest's memory"));
    // Fits memory, but not beside the kernel.
    let half = folder.file("half", &vec![0; 3 << 20]);
    assert!(refusal(read(half)).contains("the initrd of 3145728 bytes does not fit"));
    // Has no end.
    assert!(refusal(read("/dev/zero".into())).contains("is larger than the guest's memory"));
    let small = folder.file("small", b"cpio");
    assert!(read(small).is_ok());
}

#[test]
fn several_initrds_of_a_linux_are_one() {
    let folder = Folder::new("several");
    let files = [folder.file("a", b"12345"), folder.file("b", b"6")];
    let loaded = LoadedGuest::read(&guest(&folder), &files, size()).unwrap();
    assert_eq!(loaded.modules.len(), 1);
    assert_eq!(loaded.modules[0].content, b"12345\0\0\x006");
}

#[test]
fn a_module_may_have_arguments_and_a_name_with_a_space() {
    let folder = Folder::new("arguments");
    let other = Guest::File(folder.file("guest", &Elf::guest(b"\xf4").bytes()));
    let file = folder.file("env", b"A=1");
    let with_arguments = PathBuf::from(format!("{} one two", file.display()));
    let spaced = folder.file("with space", b"B=2");
    let files = [with_arguments.clone(), spaced];
    let loaded = LoadedGuest::read(&other, &files, size()).unwrap();
    let contents: Vec<_> = loaded.modules.iter().map(|m| &m.content[..]).collect();
    assert_eq!(contents, [b"A=1", b"B=2"]);
    assert!(loaded.modules[0].command_line.ends_with("env one two"));
    // A Linux has no use for arguments, so the whole is a name.
    let refused = LoadedGuest::read(&guest(&folder), &[with_arguments], size());
    assert!(refusal(refused).contains("env one two"));
}

#[test]
fn a_multiboot_guest_is_told_its_name_first() {
    let folder = Folder::new("name");
    let elf = crate::boot::test_images::multiboot_elf();
    let path = folder.file("guest.flat", &elf);
    let name = path.display().to_string();
    let loaded = LoadedGuest::read(&Guest::File(path), &[], size()).unwrap();
    let memory = crate::memory::map(size()).unwrap();
    let cmdline = Cmdline::as_given(&GivenCmdline::Text("one two".to_owned()));
    loaded.load(&memory, size(), &cmdline, &[0]).unwrap();
    let expected = format!("{name} one two\0");
    let mut text = vec![0; expected.len()];
    memory
        .read_slice(&mut text, GuestAddress(crate::boot::layout::COMMAND_LINE))
        .unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn what_can_be_an_image_is_read_whole_and_the_rest_is_not() {
    let folder = Folder::new("heads");
    let read = |guest: &str| LoadedGuest::read(&Guest::File(guest.into()), &[], size());
    assert!(refusal(read("/dev/zero")).contains("not an ELF file"));
    let disk = folder.file("disk", &[]);
    File::options()
        .write(true)
        .open(&disk)
        .unwrap()
        .set_len(IMAGE_BYTES_MAX + 1)
        .unwrap();
    let disk = LoadedGuest::read(&Guest::File(disk), &[], size());
    assert!(refusal(disk).contains("larger than 1 GiB"));
}
