//! Arbitrary bytes behind a multiboot header: as address fields, and as a 32-bit ELF.
#![no_main]

mod image;

use libfuzzer_sys::fuzz_target;

const MAGIC: u32 = 0x1bad_b002;
const ADDRESSES: u32 = 1 << 16;
const ELF: &[u8] = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0";
/// Behind an ELF header and one program header.
const IN_ELF: usize = 84;

fn header(flags: u32) -> Vec<u8> {
    [MAGIC, flags, MAGIC.wrapping_add(flags).wrapping_neg()]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect()
}

fuzz_target!(|data: &[u8]| {
    image::load(data);
    image::load(&[&header(ADDRESSES), data].concat());
    let elf = image::with(data, 0, ELF);
    image::load(&image::with(&elf, IN_ELF, &header(0)));
});
