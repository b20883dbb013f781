//! The keys of a terminal that are not for the guest: those behind Ctrl-A.

/// Ctrl-A.
const ESCAPE: u8 = 0x01;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The guest gets this byte.
    Byte(u8),
    /// Ctrl-A x: leave.
    Leave,
    /// Ctrl-A b: a break on the line.
    Break,
    /// Ctrl-A h, or ?: say what there is.
    Help,
}

/// What Ctrl-A h prints.
pub(super) const HELP: &[u8] = b"\r\n\
vmm: Ctrl-A x       ends the machine\r\n\
vmm: Ctrl-A b       sends a break (Linux: SysRq, with the next key)\r\n\
vmm: Ctrl-A Ctrl-A  sends Ctrl-A\r\n\
vmm: Ctrl-A h       this\r\n";

/// Reads keys one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    escaped: bool,
}

impl Keys {
    /// What `byte` asks for. Nothing: it was Ctrl-A, or one that means nothing behind it.
    pub(super) fn read(&mut self, byte: u8) -> Option<Key> {
        if !std::mem::take(&mut self.escaped) {
            self.escaped = byte == ESCAPE;
            return (byte != ESCAPE).then_some(Key::Byte(byte));
        }
        match byte {
            ESCAPE => Some(Key::Byte(ESCAPE)),
            b'x' | b'X' => Some(Key::Leave),
            b'b' | b'B' => Some(Key::Break),
            b'h' | b'H' | b'?' => Some(Key::Help),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        text.iter().filter_map(|&byte| keys.read(byte)).collect()
    }

    #[test]
    fn keys_are_the_guests_and_so_is_control_c() {
        let bytes = b"ls\r\x03\x1a\x04\xff";
        let all: Vec<_> = bytes.iter().map(|&byte| Key::Byte(byte)).collect();
        assert_eq!(read(bytes), all);
    }

    #[test]
    fn behind_control_a_they_are_ours() {
        assert_eq!(read(b"\x01x"), [Key::Leave]);
        assert_eq!(read(b"\x01b\x01h"), [Key::Break, Key::Help]);
        assert_eq!(read(b"\x01\x01"), [Key::Byte(1)]);
        assert_eq!(read(b"\x01\x01x"), [Key::Byte(1), Key::Byte(b'x')]);
    }

    #[test]
    fn what_means_nothing_there_is_dropped() {
        assert_eq!(read(b"\x01qa"), [Key::Byte(b'a')]);
        assert_eq!(read(b"\x01"), []);
    }
}
