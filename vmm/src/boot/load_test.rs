use super::super::test_images::{Elf32, KERNEL_BYTES, SETUP_BYTES, bzimage, multiboot_elf};
use super::*;
use proptest::prelude::*;
use vmm_tests::elf::{CODE_GPA, Elf};

const MEMORY_BYTES: u64 = 32 << 20;
const RAM: &[Range<u64>] = std::slice::from_ref(&(0..MEMORY_BYTES));

fn told(command_line: &str) -> Told<'_> {
    Told {
        ram: RAM,
        command_line,
        added_bytes: 0,
        apic_ids: &[0, 1],
    }
}

fn module(bytes: usize) -> Module {
    Module {
        command_line: "initrd".to_owned(),
        content: vec![7; bytes],
    }
}

/// What a guest of this image finds.
struct Loaded {
    memory: GuestMemoryMmap,
    entry: Entry,
    places: Vec<u64>,
}

impl Loaded {
    fn new(bytes: &[u8], modules: &[Module], command_line: &str) -> Result<Self, Error> {
        let image = Image::identify(bytes).unwrap();
        let length = usize::try_from(MEMORY_BYTES).unwrap();
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), length)]).unwrap();
        let plan = Plan::new(&image, bytes, modules, MEMORY_BYTES)?;
        let entry = plan.load(&memory, &told(command_line))?;
        Ok(Self {
            memory,
            entry,
            places: plan.places,
        })
    }

    fn bytes<const N: usize>(&self, gpa: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory
            .read_slice(&mut bytes, GuestAddress(gpa))
            .unwrap();
        bytes
    }

    fn u32_at(&self, gpa: u64) -> u32 {
        u32::from_le_bytes(self.bytes(gpa))
    }
}

fn linux(code: &[u8]) -> Vec<u8> {
    Elf::guest(&[code, b"Linux version 6.1"].concat()).bytes()
}

#[test]
fn a_pvh_guest_on_a_bare_machine_gets_no_pc() {
    let loaded = Loaded::new(&Elf::guest(b"\xf4").bytes(), &[], "a=1").unwrap();
    let expected = Entry::Pvh {
        entry: u32::try_from(CODE_GPA).unwrap(),
        start_info: layout::START_INFO,
    };
    assert_eq!(loaded.entry, expected);
    assert_eq!(&loaded.bytes(CODE_GPA), b"\xf4");
    assert_eq!(&loaded.bytes(layout::COMMAND_LINE), b"a=1\0");
    assert_eq!(&loaded.bytes(layout::ACPI), b"RSD PTR ");
    for (area, what) in layout::PC_DATA {
        assert_eq!(loaded.bytes(area.start), [0; 32], "{what}");
    }
    assert_eq!(loaded.u32_at(layout::START_INFO + 12), 0, "modules");
    assert_eq!(loaded.u32_at(layout::START_INFO + 16), 0, "their list");
}

#[test]
fn a_linux_by_pvh_gets_a_pc_and_its_initrd_as_first_module() {
    let loaded = Loaded::new(&linux(b"\xf4"), &[module(5000)], "quiet").unwrap();
    assert!(matches!(loaded.entry, Entry::Pvh { .. }));
    assert_eq!(&loaded.bytes(layout::MP_TABLE), b"PCMP");
    assert_eq!(loaded.u32_at(layout::START_INFO + 12), 1, "modules");
    let list = u64::from(loaded.u32_at(layout::START_INFO + 16));
    let start = u64::from(loaded.u32_at(list));
    assert_eq!(start, MEMORY_BYTES - 0x2000, "as high as it goes");
    assert_eq!(loaded.u32_at(list + 8), 5000);
    let string = u64::from(loaded.u32_at(list + 16));
    assert_eq!(&loaded.bytes(string), b"initrd\0");
    assert_eq!(loaded.bytes(start), [7; 16]);
    assert_eq!(loaded.bytes(start + 5000), [0; 16]);
}

#[test]
fn a_linux_without_pvh_gets_a_zero_page() {
    let mut elf = Elf::guest(b"\xf4Linux version 6.1");
    elf.notes.clear();
    let mut bytes = elf.bytes();
    bytes[24..32].copy_from_slice(&CODE_GPA.to_le_bytes());
    let loaded = Loaded::new(&bytes, &[module(1)], "quiet").unwrap();
    let expected = Entry::Linux64 {
        entry: CODE_GPA,
        boot_params: layout::ZERO_PAGE,
    };
    assert_eq!(loaded.entry, expected);
    let ramdisk = loaded.u32_at(layout::ZERO_PAGE + 0x218);
    assert_eq!(u64::from(ramdisk), MEMORY_BYTES - 0x1000);
    assert_eq!(&loaded.bytes(layout::COMMAND_LINE), b"quiet\0");
    assert_ne!(loaded.u32_at(layout::PAGE_TABLES), 0);
}

#[test]
fn a_bzimage_is_entered_512_bytes_behind_its_start() {
    let mut bytes = bzimage();
    bytes[SETUP_BYTES..SETUP_BYTES + 4].copy_from_slice(b"code");
    let loaded = Loaded::new(&bytes, &[module(1)], "quiet").unwrap();
    let expected = Entry::Linux64 {
        entry: 0x10_0200,
        boot_params: layout::ZERO_PAGE,
    };
    assert_eq!(loaded.entry, expected);
    assert_eq!(&loaded.bytes(0x10_0000), b"code");
    assert_eq!(loaded.bytes(0x10_0000 + KERNEL_BYTES as u64), [0; 8]);
    assert_eq!(&loaded.bytes(layout::ZERO_PAGE + 0x202), b"HdrS");
    assert_eq!(loaded.u32_at(layout::ZERO_PAGE + 0x260), 0x80_0000);
    assert_eq!(loaded.bytes(layout::ZERO_PAGE + 0x210), [0xff]);
}

#[test]
fn an_initrd_is_above_the_kernel_and_below_what_it_can_reach() {
    let mut bytes = bzimage();
    bytes[0x22c..0x230].copy_from_slice(&0x1a0_0fff_u32.to_le_bytes());
    let loaded = Loaded::new(&bytes, &[module(0x1000)], "").unwrap();
    assert_eq!(loaded.places, [0x1a0_0000]);
    // From the unpacked kernel's end on there are 2 MiB and a page.
    let refused = Loaded::new(&bytes, &[module(0x20_1001)], "").err().unwrap();
    let message = refused.to_string();
    assert!(message.contains("between the kernel's end at 0x1800000 and 0x1a01000"));
}

#[test]
fn multiboot_modules_follow_the_image() {
    let modules = [module(3), module(0x1000)];
    let loaded = Loaded::new(&multiboot_elf(), &modules, "guest").unwrap();
    let expected = Entry::Multiboot {
        entry: 0x10_000c,
        info: 0x9500,
    };
    assert_eq!(loaded.entry, expected);
    assert_eq!(loaded.places, [0x10_3000, 0x10_4000]);
    assert_eq!(loaded.u32_at(0x10_0000), 0x1bad_b002);
    assert_eq!(loaded.u32_at(0x9500 + 20), 2);
    assert_eq!(&loaded.bytes(MP_POINTER), b"_MP_");
}

#[test]
fn modules_that_the_lists_have_no_room_for_are_refused_before_there_is_memory() {
    let bytes = multiboot_elf();
    let image = Image::identify(&bytes).unwrap();
    let refusal = |modules: &[Module]| {
        let plan = Plan::new(&image, &bytes, modules, MEMORY_BYTES);
        plan.err().unwrap().to_string()
    };
    assert!(refusal(&vec![module(1); 101]).contains("101 initrds"));
    let long = Module {
        command_line: "a".repeat(0x8000),
        content: Vec::new(),
    };
    assert!(refusal(&[long]).contains("more than 32768 bytes"));
}

#[test]
fn a_multiboot_image_may_lie_where_its_information_usually_is() {
    let mut elf = Elf32::valid();
    elf.programs = vec![
        (1, 0x8000, 0x8000, 0x8000),
        (1, 0x10_0000, 0x10_0000, 0x1000),
    ];
    elf.entry = 0x8000;
    let bytes = elf.bytes();
    let image = Image::identify(&bytes).unwrap();
    assert_eq!(image.check_fits(MEMORY_BYTES), Ok(()));
    let loaded = Loaded::new(&bytes, &[module(3)], "guest").unwrap();
    let expected = Entry::Multiboot {
        entry: 0x8000,
        info: 0x6500,
    };
    assert_eq!(loaded.entry, expected);
    assert_eq!(loaded.u32_at(0x8000), 0x1bad_b002, "the image is whole");
    assert_eq!(loaded.u32_at(0x6500 + 24), 0x7000);
    assert_eq!(loaded.u32_at(0x7000), 0x10_1000, "the module");
}

#[test]
fn modules_are_behind_information_that_is_behind_the_image() {
    let mut elf = Elf32::valid();
    elf.programs = vec![
        (1, 0x6000, 0x6000, 0x1_a000),
        (1, 0x3_8000, 0x3_8000, 0x6_0000),
    ];
    elf.entry = 0x6000;
    let loaded = Loaded::new(&elf.bytes(), &[module(3)], "guest").unwrap();
    assert_eq!(loaded.places, [0x10_2000]);
    assert_eq!(loaded.u32_at(0x10_0500 + 20), 1, "modules");
}

const MP_POINTER: u64 = super::super::mp_table::MpTable::POINTER;

#[test]
fn a_command_line_is_as_long_as_the_guest_takes() {
    let line = |length: usize| "a".repeat(length);
    let mut short = bzimage();
    short[0x238..0x23c].copy_from_slice(&255_u32.to_le_bytes());
    let pvh = Elf::guest(b"\xf4").bytes();
    for (bytes, most) in [
        (short, 255),
        (bzimage(), 2047),
        (linux(b""), 2047),
        (pvh, 65535),
        (multiboot_elf(), 65535),
    ] {
        assert!(Loaded::new(&bytes, &[], &line(most)).is_ok());
        let refused = Loaded::new(&bytes, &[], &line(most + 1)).err().unwrap();
        let message = refused.to_string();
        assert!(
            message.contains(&format!("{most} are the most")),
            "{message}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever header gets through is loaded without touching what lies behind.
    #[test]
    fn a_bzimage_that_is_let_through_is_loaded(
        flips in prop::collection::vec((0x1f1_usize..0x270, any::<u8>()), 0..3),
        initrd_bytes in 0_usize..0x4000,
    ) {
        let mut bytes = bzimage();
        for (at, byte) in flips {
            bytes[at] ^= byte;
        }
        let Ok(image) = Image::identify(&bytes) else {
            return Ok(());
        };
        if image.check_fits(MEMORY_BYTES).is_err() {
            return Ok(());
        }
        let loaded = Loaded::new(&bytes, &[module(initrd_bytes)], "");
        if let Ok(loaded) = loaded {
            prop_assert!(loaded.places[0] >= image.end());
            prop_assert_eq!(loaded.bytes::<1>(loaded.places[0]), [if initrd_bytes == 0 { 0 } else { 7 }]);
        }
    }
}
