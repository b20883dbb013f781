//! Arbitrary bytes as a bzImage, as they are and with the marks and the fields that every one has.
#![no_main]

mod image;

use libfuzzer_sys::fuzz_target;

/// Boot flag, jump, "HdrS", protocol 2.15.
const MARKS: (usize, &[u8]) = (0x1fe, b"\x55\xaa\xeb\x6aHdrS\x0f\x02");
/// `loadflags`, and `xloadflags` with a 64-bit entry.
const LOADED_HIGH: (usize, &[u8]) = (0x211, b"\x01");
const HAS_64_BIT_ENTRY: (usize, &[u8]) = (0x236, b"\x01\0");

fuzz_target!(|data: &[u8]| {
    image::load(data);
    let mut marked = data.to_vec();
    for (at, bytes) in [MARKS, LOADED_HIGH, HAS_64_BIT_ENTRY] {
        marked = image::with(&marked, at, bytes);
    }
    image::load(&marked);
});
