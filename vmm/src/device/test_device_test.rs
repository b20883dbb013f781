use super::*;
use crate::device::test_wires::TestWires;

fn device() -> (TestDevice, TestWires) {
    (TestDevice::default(), TestWires::default())
}

#[test]
fn the_exit_port_takes_a_value_of_every_width() {
    let (mut device, wires) = device();
    for (data, value) in [
        (&[0x10][..], 0x10),
        (&[0x34, 0x12], 0x1234),
        (&[1, 2, 3, 4], 0x0403_0201),
    ] {
        let asked = device.write(EXIT, data, &wires);
        assert_eq!(asked, Some(Asked::DebugExit(value)));
    }
    assert_eq!(device.write(EXIT, &[], &wires), None);
}

#[test]
fn the_latch_reads_back_at_every_offset_and_width() {
    let (mut device, wires) = device();
    device.write(LATCH, &[1, 2, 3, 4], &wires);
    device.write(LATCH + 2, &[0xaa], &wires);
    let mut all = [0; 4];
    device.read(BYTE_LATCH, &mut all);
    assert_eq!(all, [1, 2, 0xaa, 4]);
    let mut one = [0];
    device.read(LATCH + 1, &mut one);
    assert_eq!(one, [2]);
}

#[test]
fn interrupt_lines_go_up_and_down() {
    let (mut device, wires) = device();
    device.write(LINES + 5, &[1], &wires);
    device.write(LINES + 23, &[0], &wires);
    let lines = wires.lines.lock().unwrap();
    assert_eq!(*lines, [(5, Level::High), (23, Level::Low)]);
}

#[test]
fn a_page_to_forget_is_named_by_any_address_in_it() {
    let (mut device, wires) = device();
    device.write(FORGET, &0x0012_3456_u32.to_le_bytes(), &wires);
    device.write(FORGET, &[1], &wires);
    assert_eq!(*wires.forgotten.lock().unwrap(), [0x0012_3000]);
}

#[test]
fn its_memory_has_an_end() {
    let (mut device, _) = device();
    let end = MEMORY + 0x1_0000;
    assert_eq!(device.memory_at(MEMORY).unwrap().len(), 0x1_0000);
    assert_eq!(device.memory_at(end - 1).unwrap().len(), 1);
    for address in [MEMORY - 1, end + 1, u64::MAX] {
        assert!(device.memory_at(address).is_none(), "{address:#x}");
    }
}
