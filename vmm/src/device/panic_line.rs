//! Finds Linux's last words in what a guest sends to its console.
//!
//! A kernel that panics says so in a line of its own, perhaps behind printk's level, time and
//! caller: `<0>[   12.345678][    T1] Kernel panic - not syncing: …`. Then it restarts, which
//! would look like any other restart. Some other program may print the line too; so it ends
//! nothing, it only says what a restart means that follows.

use serde::{Deserialize, Serialize};

const WORDS: &[u8] = b"Kernel panic - not syncing";

/// Reads along, byte by byte, and keeps nothing but its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanicLine {
    place: Place,
    seen: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// At the start of a line, or behind a part of printk's prefix.
    #[default]
    Start,
    /// In a part of the prefix that ends with this byte.
    Until(u8),
    /// Behind this many bytes of the words.
    Words(u8),
    /// Somewhere in a line that does not matter.
    Elsewhere,
}

impl PanicLine {
    /// Reads the next byte.
    pub fn read(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (_, b'\n') => Place::Start,
            (Place::Start, b' ' | b'\r') => Place::Start,
            (Place::Start, b'[') => Place::Until(b']'),
            (Place::Start, b'<') => Place::Until(b'>'),
            (Place::Start, _) => self.compare(0, byte),
            (Place::Until(end), _) if byte == end => Place::Start,
            (Place::Words(behind), _) => self.compare(behind, byte),
            (place @ (Place::Until(_) | Place::Elsewhere), _) => place,
        };
    }

    fn compare(&mut self, behind: u8, byte: u8) -> Place {
        if WORDS.get(usize::from(behind)) != Some(&byte) {
            return Place::Elsewhere;
        }
        if usize::from(behind) + 1 == WORDS.len() {
            self.seen = true;
            return Place::Elsewhere;
        }
        Place::Words(behind + 1)
    }

    /// Whether the line has come.
    pub fn seen(&self) -> bool {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &[u8]) -> bool {
        let mut line = PanicLine::default();
        text.iter().for_each(|&byte| line.read(byte));
        line.seen()
    }

    #[test]
    fn a_panic_is_seen_behind_every_prefix_that_printk_writes() {
        for prefix in [
            "",
            "[    1.234567] ",
            "<0>[    1.234567] ",
            "[    1.234567][    T1] ",
            "\r\n[12345.678901] ",
            "Booting Linux\r\n[    1.234567] ",
            "Kernel panic - not\n",
        ] {
            let text = format!("{prefix}Kernel panic - not syncing: VFS: no root\r\n");
            assert!(seen(text.as_bytes()), "{prefix:?}");
        }
    }

    #[test]
    fn the_words_anywhere_else_are_no_panic() {
        for text in [
            "",
            "[    1.0] ---[ end Kernel panic - not syncing: VFS ]---\n",
            "echo Kernel panic - not syncing\n",
            "Kernel panic - not synching\n",
            "[    1.0] Kernel panic\n - not syncing\n",
            "[ Kernel panic - not syncing\n",
            "KKernel panic - not syncing\n",
        ] {
            assert!(!seen(text.as_bytes()), "{text:?}");
        }
    }
}
