//! Multiboot images, as 32-bit ELF and flat.

/// Where their only segment is loaded.
pub const IMAGE_GPA: u32 = 0x10_0000;
/// Where the code is, behind the header.
pub const CODE_GPA: u32 = IMAGE_GPA + HEADER_BYTES;
/// Memory of the segment: room for a stack behind the code.
pub const IMAGE_BYTES: u32 = 0x1_0000;

const HEADER_BYTES: u32 = 32;
const MAGIC: u32 = 0x1bad_b002;
const ADDRESSES: u32 = 1 << 16;

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn header(flags: u32) -> [u32; 3] {
    [MAGIC, flags, MAGIC.wrapping_add(flags).wrapping_neg()]
}

/// A 32-bit ELF that is entered at the start of `code`; its header asks for `flags`.
pub fn elf(code: &[u8], flags: u32) -> Vec<u8> {
    const DATA_AT: u32 = 52 + 32;
    let mut segment = words(&header(flags));
    segment.resize(HEADER_BYTES as usize, 0);
    segment.extend_from_slice(code);
    let bytes = u32::try_from(segment.len()).expect("a small guest");

    let mut elf = b"\x7fELF\x01\x01\x01".to_vec();
    elf.resize(16, 0);
    // ET_EXEC, EM_386.
    elf.extend([2, 0, 3, 0]);
    elf.extend(words(&[1, CODE_GPA, 52, 0, 0]));
    for field in [52, 32, 1, 40, 0, 0] {
        elf.extend(u16::to_le_bytes(field));
    }
    let load = [1, DATA_AT, IMAGE_GPA, IMAGE_GPA, bytes, IMAGE_BYTES, 7, 4];
    elf.extend(words(&load));
    elf.extend(segment);
    elf
}

/// The same as a file of no format: the header has the addresses.
pub fn flat(code: &[u8]) -> Vec<u8> {
    let mut image = words(&header(ADDRESSES));
    let load_end = 0;
    image.extend(words(&[
        IMAGE_GPA,
        IMAGE_GPA,
        load_end,
        IMAGE_GPA + IMAGE_BYTES,
        CODE_GPA,
    ]));
    image.extend_from_slice(code);
    image
}
