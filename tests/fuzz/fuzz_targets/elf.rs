//! Arbitrary bytes as a guest's ELF, as they are and with headers that get further: whatever is let
//! through is loaded into memory of a fixed size, and its symbols are looked up.
#![no_main]

mod image;

use libfuzzer_sys::fuzz_target;

const HEADER: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";

fuzz_target!(|data: &[u8]| {
    image::load(data);
    image::load(&image::with(data, 0, HEADER));
});
