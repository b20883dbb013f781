//! Port I/O: the serial port, the i8042's reset and the counting device. Everything else reads as all ones and takes
//! writes in silence, as an empty ISA bus does.

use super::counter::Counter;
use super::serial::{SerialPort, Wait};

const COM1: u16 = 0x3f8;
const COM1_LAST: u16 = COM1 + 7;
const I8042_COMMAND: u16 = 0x64;
const I8042_RESET: u8 = 0xfe;

/// The guest pulsed the reset line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset;

/// All ports but those of the stub page.
#[derive(Debug)]
pub struct Ports {
    /// COM1.
    pub serial: SerialPort,
    /// The counting device. Not behind [`Self::write`] and [`Self::read`]: who asks matters to it, and
    /// only a guest with a stub page has it.
    pub counter: Counter,
}

impl Ports {
    /// OUT. String output repeats on one port. `wait` is asked while a reader of the serial port
    /// keeps the thread waiting.
    pub fn write(&self, port: u16, data: &[u8], wait: impl Fn() -> Wait) -> Option<Reset> {
        match (port, data) {
            (COM1..=COM1_LAST, _) => {
                self.serial.write(offset(port), data, wait);
                None
            }
            (I8042_COMMAND, [I8042_RESET]) => Some(Reset),
            _ => None,
        }
    }

    /// IN.
    pub fn read(&self, port: u16, data: &mut [u8]) {
        match (port, data) {
            (COM1..=COM1_LAST, [byte]) => *byte = self.serial.read(offset(port)),
            (I8042_COMMAND, [byte]) => *byte = 0, // the i8042's buffers are empty
            (_, data) => data.fill(0xff),
        }
    }
}

fn offset(port: u16) -> u8 {
    (port - COM1).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::serial::Output;

    fn ports() -> Ports {
        Ports {
            serial: SerialPort::new(Output::Buffer(Vec::new())).unwrap(),
            counter: Counter::new(1),
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
        assert_eq!(ports().write(0x64, &[0xfe], no_wait), Some(Reset));
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
}
