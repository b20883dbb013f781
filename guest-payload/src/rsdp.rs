//! Where ACPI begins on a machine whose loader does not say: a PC's firmware leaves the RSDP below 1 MiB
//! (ACPI 6.5, 5.2.5.1).

use core::ops::Range;

/// Where it may be.
pub const AREA: Range<u64> = 0xe_0000..0x10_0000;

/// It begins on a multiple of this.
const ALIGNMENT: usize = 16;
const SIGNATURE: [u8; 8] = *b"RSD PTR ";
/// What its first checksum is over: all of it in ACPI 1.0, its beginning since.
const SUMMED: u64 = 20;

/// Its address, in the memory that `read` reads bytes of.
pub fn find(read: impl Fn(u64) -> u8) -> Option<u64> {
    AREA.step_by(ALIGNMENT).find(|&at| {
        let signed = (at..).zip(SIGNATURE).all(|(at, byte)| read(at) == byte);
        // The area's end is aligned, but not for all of it.
        let end = at + SUMMED;
        let sum = || (at..end).fold(0_u8, |sum, at| sum.wrapping_add(read(at)));
        signed && end <= AREA.end && sum() == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(at: u64) -> usize {
        usize::try_from(at).unwrap()
    }

    /// An RSDP at `at` whose bytes add up to 0, in memory that is 0 elsewhere.
    fn memory(at: u64) -> Vec<u8> {
        let mut bytes = vec![0; 0x10_0000];
        let end = bytes.len().min(index(at) + 20);
        bytes[index(at)..][..8].copy_from_slice(b"RSD PTR ");
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[end - 1] = bytes[end - 1].wrapping_sub(sum);
        bytes
    }

    fn found(bytes: &[u8]) -> Option<u64> {
        find(|at| bytes[index(at)])
    }

    #[test]
    fn it_is_found_wherever_firmware_may_put_it() {
        for at in [0xe_0000, 0xf_5ad0, 0xf_ffe0] {
            assert_eq!(found(&memory(at)), Some(at));
        }
    }

    #[test]
    fn nothing_is_found_beside_it_or_outside() {
        for at in [0xd_fff0, 0xe_0008, 0xf_fff0] {
            assert_eq!(found(&memory(at)), None, "{at:#x}");
        }
        assert_eq!(find(|_| 0), None);
        assert_eq!(find(|_| 0xff), None);
    }

    #[test]
    fn a_signature_whose_bytes_do_not_add_up_is_passed_over() {
        let mut bytes = memory(0xf_0000);
        bytes[0xe_0010..][..8].copy_from_slice(b"RSD PTR ");
        assert_eq!(found(&bytes), Some(0xf_0000));
        bytes[0xf_0013] ^= 1;
        assert_eq!(found(&bytes), None);
    }
}
