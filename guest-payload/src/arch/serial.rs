//! The first serial port, output only, and text without `core::fmt` (which uses SSE).

use super::instr::outb;

const COM1: u16 = 0x3f8;

/// Writes `text`.
pub(crate) fn print(text: &str) {
    for byte in text.bytes() {
        outb(COM1, byte);
    }
}

/// Writes `value` in decimal.
pub(crate) fn print_u64(value: u64) {
    let mut digits = [0_u8; 20];
    let mut rest = value;
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    for byte in &digits[at..] {
        outb(COM1, *byte);
    }
}

/// Writes `value` as `0x` and hexadecimal digits.
pub(crate) fn print_hex(value: u64) {
    print("0x");
    let digits = (16 - value.leading_zeros() / 4).max(1);
    for digit in (0..digits).rev() {
        let nibble = (value >> (4 * digit) & 0xf) as u8;
        outb(
            COM1,
            if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            },
        );
    }
}
