use super::super::test_images::{KERNEL_BYTES, SETUP_BYTES, bzimage as valid};
use super::*;
use proptest::prelude::*;

fn with(at: usize, field: &[u8]) -> Vec<u8> {
    let mut bytes = valid();
    bytes[at..at + field.len()].copy_from_slice(field);
    bytes
}

/// The one line that `bytes` is refused with.
fn refusal(bytes: &[u8]) -> String {
    let message = Image::check(bytes).unwrap_err().to_string();
    assert!(!message.contains('\n'));
    message
}

#[test]
fn a_good_one_is_read_by_the_published_offsets() {
    let bytes = valid();
    assert!(is_one(&bytes));
    let image = Image::check(&bytes).unwrap();
    assert_eq!(image.header, 0x1f1..0x26c);
    assert_eq!(image.code.gpa, 0x10_0000);
    assert_eq!(image.code.file, SETUP_BYTES..bytes.len());
    assert_eq!(image.entry(), 0x10_0200);
    assert_eq!(image.unpacked, 0x100_0000..0x180_0000);
    assert_eq!(image.end(), 0x180_0000);
    assert_eq!(image.initrd_last, 0x7fff_ffff);
    assert_eq!(image.command_line_max, 2047);
}

#[test]
fn a_kernel_that_can_move_unpacks_where_it_is_loaded_if_that_is_higher() {
    // Loaded at 33 MiB, aligned to 2 MiB.
    let high = 0x210_0000_u32.to_le_bytes();
    let image = Image::check(&with(0x214, &high)).unwrap();
    assert_eq!(image.unpacked.start, 0x220_0000);
    let mut fixed = with(0x214, &high);
    fixed[0x234] = 0;
    let image = Image::check(&fixed).unwrap();
    assert_eq!(image.unpacked.start, 0x100_0000);
    // The code itself is what reaches highest.
    assert_eq!(image.end(), 0x210_0000 + KERNEL_BYTES as u64);
}

#[test]
fn kernels_that_have_no_64_bit_entry_are_named() {
    assert!(refusal(&with(0x206, &[0x0b, 2])).contains("boot protocol 2.11: it has to be 2.12"));
    assert!(refusal(&with(0x211, &[0])).contains("a zImage"));
    assert!(refusal(&with(0x236, &[0])).contains("a 32-bit kernel"));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = valid();
    for length in 0..bytes.len() {
        let refused = Image::check(&bytes[..length]).unwrap_err();
        assert!(matches!(refused, Error::Truncated { .. }), "{length}");
    }
}

/// With no size in the header a file that ends before the entry point is cut all the same.
#[test]
fn there_is_code_at_the_entry_point() {
    let bytes = with(0x1f4, &[0; 4]);
    assert!(Image::check(&bytes[..SETUP_BYTES + 0x201]).is_ok());
    assert!(refusal(&bytes[..SETUP_BYTES + 0x200]).contains("truncated"));
}

#[test]
fn what_follows_the_kernel_is_a_signature_and_no_mistake() {
    let mut bytes = valid();
    bytes.extend([1; 100]);
    assert!(Image::check(&bytes).is_ok());
}

#[test]
fn fields_that_cannot_be_are_named() {
    for (at, field, part) in [
        (0x201, &[0x10][..], "the setup header's end is 0x212"),
        (0x214, &[0; 4], "code32_start is 0x0"),
        (0x230, &[0; 4], "kernel_alignment is 0x0"),
        (0x230, &[3], "kernel_alignment is 0x200003"),
        (0x260, &[0; 4], "init_size is 0x0"),
        (0x258, &[0xff; 8], "pref_address is 0xffffffffffffffff"),
    ] {
        let message = refusal(&with(at, field));
        assert!(message.contains(part), "no `{part}` in {message}");
    }
}

#[test]
fn both_the_code_and_the_kernel_in_it_have_to_fit() {
    let image = Image::check(&valid()).unwrap();
    assert_eq!(image.check_fits(0x180_0000, &layout::LINUX_DATA), Ok(()));
    let message = image
        .check_fits(0x17f_ffff, &layout::LINUX_DATA)
        .unwrap_err()
        .to_string();
    assert!(message.contains("0x1000000..0x1800000 is outside"));
    assert!(message.contains("at least 24 MiB"));
}

#[test]
fn the_marks_are_both_needed() {
    assert!(!is_one(&with(0x1fe, &[0])));
    assert!(!is_one(&with(0x202, b"HdrT")));
    assert!(!is_one(&[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn flipped_bytes_are_refused_or_sound(
        flips in prop::collection::vec((0x1f1_usize..0x270, any::<u8>()), 1..8),
    ) {
        let mut bytes = valid();
        for (at, byte) in flips {
            bytes[at] ^= byte;
        }
        if let Ok(image) = Image::check(&bytes) {
            prop_assert!(image.code.file.end <= bytes.len());
            prop_assert!(image.header.end <= bytes.len());
            prop_assert!(image.header.end <= 0x290);
            prop_assert!(!image.unpacked.is_empty());
            prop_assert!(image.code.gpa >= layout::HIGH_RAM);
            let _ = image.check_fits(1 << 30, &layout::LINUX_DATA);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..0x800)) {
        let _ = Image::check(&bytes);
    }
}
