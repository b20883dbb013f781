use super::*;
use crate::device::serial::Output;

fn ports() -> Ports {
    Ports {
        serial: SerialPort::new(Output::Buffer(Vec::new())).unwrap(),
        counter: Counter::new(1),
        pc: None,
    }
}

fn no_wait() -> Wait {
    Wait::Over
}

#[test]
fn the_serial_port_sends_bytes_and_strings() {
    let ports = ports();
    assert!(ports.write(COM1, b"a", no_wait).is_none());
    assert!(ports.write(COM1, b"bc", no_wait).is_none());
    assert_eq!(ports.serial.captured(), b"abc");
}

#[test]
fn the_reset_pulse_ends_the_machine() {
    assert_eq!(ports().write(0x64, &[0xfe], no_wait), Some(Asked::Reset));
    assert!(ports().write(0x64, &[0xd1], no_wait).is_none());
}

proptest::proptest! {
    #[test]
    fn any_access_is_answered(
        port: u16,
        mut data in proptest::collection::vec(proptest::num::u8::ANY, 0..=8),
    ) {
        let ports = ports();
        ports.read(port, &mut data);
        let ended = ports.write(port, &data, no_wait).is_some();
        proptest::prop_assert_eq!(ended, port == 0x64 && data == [0xfe]);
    }
}
