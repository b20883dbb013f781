//! Images for tests: a right one of each kind, to be made wrong.

/// Setup code of this many sectors behind the boot sector.
const SETUP_SECTORS: u8 = 2;
pub(crate) const SETUP_BYTES: usize = (SETUP_SECTORS as usize + 1) * 512;
pub(crate) const KERNEL_BYTES: usize = 0x1000;

/// A bzImage of protocol 2.15 with a 64-bit entry, nothing but zeros inside.
pub(crate) fn bzimage() -> Vec<u8> {
    let mut bytes = vec![0; SETUP_BYTES + KERNEL_BYTES];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0x1f1, &[SETUP_SECTORS]);
    put(0x1f4, &(0x1000_u32 / 16).to_le_bytes());
    put(0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]);
    put(0x202, b"HdrS");
    put(0x206, &0x20f_u16.to_le_bytes());
    put(0x211, &[1]);
    put(0x214, &0x10_0000_u32.to_le_bytes());
    put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(0x230, &0x20_0000_u32.to_le_bytes());
    put(0x234, &[1]);
    put(0x236, &1_u16.to_le_bytes());
    put(0x238, &2047_u32.to_le_bytes());
    put(0x258, &0x100_0000_u64.to_le_bytes());
    put(0x260, &0x80_0000_u32.to_le_bytes());
    bytes
}

/// Where multiboot images are loaded.
pub(crate) const MULTIBOOT_GPA: u32 = 0x10_0000;

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// A multiboot header without addresses.
pub(crate) fn multiboot_header(flags: u32) -> Vec<u8> {
    words(&[
        0x1bad_b002,
        flags,
        0x1bad_b002_u32.wrapping_add(flags).wrapping_neg(),
    ])
}

/// An image without a format: 16 bytes, the header with these address fields, 64 bytes of code.
pub(crate) fn flat_image(flags: u32, addresses: [u32; 5]) -> Vec<u8> {
    let mut bytes = vec![0x11; 16];
    bytes.extend(multiboot_header(flags));
    bytes.extend(words(&addresses));
    bytes.extend([0x90; 64]);
    bytes
}

/// The same, right: loaded from the start of the file, entered behind the header.
pub(crate) fn multiboot_flat() -> Vec<u8> {
    flat_image(
        1 << 16,
        [MULTIBOOT_GPA + 16, MULTIBOOT_GPA, 0, 0, MULTIBOOT_GPA + 48],
    )
}

/// A 32-bit ELF in the making. Every field can be made wrong.
#[derive(Clone)]
pub(crate) struct Elf32 {
    pub(crate) machine: u16,
    pub(crate) entry: u32,
    /// Kind, physical and virtual address, size in memory; 32 bytes in the file each.
    pub(crate) programs: Vec<(u32, u32, u32, u32)>,
    pub(crate) flags: u32,
}

impl Elf32 {
    pub(crate) fn valid() -> Self {
        Self {
            machine: 3,
            entry: MULTIBOOT_GPA + 12,
            programs: vec![(1, MULTIBOOT_GPA, MULTIBOOT_GPA, 0x3000)],
            flags: 0,
        }
    }

    /// Header, program headers, segments; the first starts with the multiboot header. One section
    /// header at the end.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = u16::try_from(self.programs.len()).unwrap();
        let data_at = 52 + 32 * u32::from(count);
        let sections_at = data_at + 32 * u32::from(count);
        let mut bytes = b"\x7fELF\x01\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend(2_u16.to_le_bytes());
        bytes.extend(self.machine.to_le_bytes());
        bytes.extend(words(&[1, self.entry, 52, sections_at, 0]));
        for field in [52, 32, count, 40, 1, 0] {
            bytes.extend(u16::to_le_bytes(field));
        }
        for (index, (kind, gpa, linear, mem_bytes)) in (0..).zip(&self.programs) {
            let offset = data_at + 32 * index;
            bytes.extend(words(&[*kind, offset, *linear, *gpa, 32, *mem_bytes, 7, 4]));
        }
        for index in 0..count {
            let start = bytes.len();
            if index == 0 {
                bytes.extend(multiboot_header(self.flags));
            }
            bytes.resize(start + 32, 0x90);
        }
        bytes.extend([0; 40]);
        bytes
    }
}

/// A 32-bit ELF with a multiboot header.
pub(crate) fn multiboot_elf() -> Vec<u8> {
    Elf32::valid().bytes()
}
