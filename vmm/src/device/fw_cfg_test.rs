use super::*;

const CONTENTS: Contents = Contents {
    memory_bytes: 0x1_2345_6000,
    vcpus: 3,
};

/// Reads an item as test images do: a byte after the other.
fn item(number: u16, bytes: usize) -> Vec<u8> {
    let mut device = FwCfg::default();
    device.select(number);
    (0..bytes).map(|_| device.read(CONTENTS)).collect()
}

#[test]
fn a_test_image_finds_cpus_and_memory() {
    assert_eq!(item(SIGNATURE, 4), b"QEMU");
    assert_eq!(item(CPUS, 2), [3, 0]);
    assert_eq!(item(CPUS_MAX, 2), [3, 0]);
    assert_eq!(item(RAM_BYTES, 8), CONTENTS.memory_bytes.to_le_bytes());
    assert_eq!(item(INTERFACES, 4), [1, 0, 0, 0]);
}

#[test]
fn behind_an_item_and_where_none_is_there_are_zeros() {
    assert_eq!(item(CPUS, 4), [3, 0, 0, 0]);
    assert_eq!(item(0x19, 4), [0; 4]);
    assert_eq!(item(0xffff, 4), [0; 4]);
}

#[test]
fn an_item_is_read_from_its_start_whenever_it_is_chosen() {
    let mut device = FwCfg::default();
    for _ in 0..2 {
        device.select(SIGNATURE);
        assert_eq!(device.read(CONTENTS), b'Q');
    }
}
