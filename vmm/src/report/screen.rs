//! A text that is refreshed in place on a terminal, and written line after line elsewhere.

use std::io::{self, Write};

/// To the first column of the line this many lines up.
fn up(lines: usize) -> String {
    match lines {
        0 => String::new(),
        _ => format!("\x1b[{lines}F"),
    }
}

/// Erases the rest of a line.
const ERASE_LINE: &str = "\x1b[K";
/// Erases what is below.
const ERASE_BELOW: &str = "\x1b[J";
/// Around lines that must not wrap in a narrow terminal, where they would take two rows.
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";

/// A terminal's part that belongs to one text.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    /// Rows of the text that is shown.
    shown: usize,
}

impl<W: Write> Screen<W> {
    /// On the terminal `out`, from where its cursor is.
    pub fn new(out: W) -> Self {
        Self { out, shown: 0 }
    }

    /// Shows `text` in place of the one before. The terminal is in order again when this returns,
    /// so that the process may end at any time.
    ///
    /// # Errors
    /// The terminal has gone.
    pub fn show(&mut self, text: &str) -> io::Result<()> {
        let mut drawn = format!("{}{WRAP_OFF}", up(self.shown));
        self.shown = 0;
        for line in text.lines() {
            drawn.push_str(&format!("{line}{ERASE_LINE}\n"));
            self.shown += 1;
        }
        drawn.push_str(&format!("{ERASE_BELOW}{WRAP_ON}"));
        self.out.write_all(drawn.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is on a terminal after `bytes`, as far as our sequences go.
    fn terminal(bytes: &[u8]) -> Vec<String> {
        let text = std::str::from_utf8(bytes).unwrap();
        let (mut rows, mut row, mut column) = (vec![String::new()], 0, 0);
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '\n' => {
                    (row, column) = (row + 1, 0);
                    if row == rows.len() {
                        rows.push(String::new());
                    }
                }
                '\x1b' => {
                    assert_eq!(rest.next(), Some('['));
                    let mut number = String::new();
                    let what = loop {
                        match rest.next().unwrap() {
                            c if c.is_ascii_alphabetic() => break c,
                            c => number.push(c),
                        }
                    };
                    match what {
                        'F' => {
                            let up: usize = number.parse().unwrap();
                            (row, column) = (row.checked_sub(up).expect("above the screen"), 0);
                        }
                        'K' => rows[row].truncate(column),
                        'J' => {
                            rows[row].truncate(column);
                            rows.truncate(row + 1);
                        }
                        _ => {}
                    }
                }
                c => {
                    let rest = rows[row].split_off(column);
                    rows[row].push(c);
                    rows[row].extend(rest.chars().skip(1));
                    column += 1;
                }
            }
        }
        rows
    }

    #[test]
    fn each_text_takes_the_place_of_the_one_before() {
        let mut screen = Screen::new(Vec::new());
        for text in ["a long line\nsecond\nthird\n", "short\nx\n", "1\n2\n3\n4\n"] {
            screen.show(text).unwrap();
            let mut expected: Vec<_> = text.lines().map(str::to_owned).collect();
            expected.push(String::new());
            assert_eq!(terminal(&screen.out), expected);
        }
    }
}
