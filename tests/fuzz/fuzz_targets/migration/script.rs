//! The words of a script, a line each, and the bytes that they stand for. What is left out is 0;
//! `#` begins a comment.
//!
//! A source says `move SESSION`, `knock SESSION`, `machine ROUNDS WHOLE TEXT`, `round NUMBER LAST`,
//! `pages FIRST BYTE BYTE...`, `end NUMBER PAGES`, `state TOTAL OFFSET TEXT`, `digest CHANGE`,
//! `commit SESSION`, `abort TEXT`. A target says `welcome VERSION`, `accepted`, `refused HEX`,
//! `done NUMBER`, `ready SESSION MS`, `running SESSION`, `failed TEXT`, `gone TEXT`. Both say
//! `frame KIND HEX`, with a right header, and `bytes HEX`. `--` begins another connection.
//!
//! Session 0 is the one that the source has drawn, or 16 zeros.

use vmm::migrate::digest::{Digest, mark};
use vmm::migrate::{PAGE_BYTES, fuzzing};

use super::ends::REGIONS;

const LINES_MAX: usize = 64;
const CONNECTIONS_MAX: usize = 8;
const PAGES_MAX: usize = 64;
const MAGIC: &[u8] = b"vmmMOVE\0";
const COMMIT: u64 = 13;

/// A script.
#[derive(Debug)]
pub struct Script {
    pub is_for_a_source: bool,
    lines: Vec<String>,
}

/// What a script says.
#[derive(Debug, Default)]
pub struct Said {
    pub connections: Vec<Vec<u8>>,
    /// A COMMIT is among it.
    pub has_committed: bool,
    /// Pages of all rounds.
    pub pages: u64,
}

impl Script {
    /// Reads one; `None` for what is no text.
    pub fn read(data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        let lines = text.lines().take(LINES_MAX).map(str::to_owned);
        let mut lines: Vec<_> = lines.filter(|line| !line.starts_with('#')).collect();
        let is_for_a_source = lines.first().is_some_and(|line| line == "source");
        lines.drain(..usize::from(is_for_a_source));
        Some(Self {
            is_for_a_source,
            lines,
        })
    }

    /// What is said to a source that has drawn `session`.
    pub fn said(&self, session: [u8; 16]) -> Said {
        let mut said = Said::default();
        let mut digest = Digest::new(16);
        said.connections.push(Vec::new());
        for line in &self.lines {
            if line == "--" {
                if said.connections.len() == CONNECTIONS_MAX {
                    break;
                }
                said.connections.push(Vec::new());
                continue;
            }
            let Some(bytes) = Words(line).bytes(session, &mut digest, &mut said) else {
                continue;
            };
            if let Some(connection) = said.connections.last_mut() {
                connection.extend(bytes);
            }
        }
        said
    }
}

/// One line.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn number(&self, place: usize) -> u64 {
        let word = self.0.split(' ').nth(place).unwrap_or_default();
        word.parse().unwrap_or(0)
    }

    fn u32(&self, place: usize) -> u32 {
        u32::try_from(self.number(place)).unwrap_or(u32::MAX)
    }

    /// All from this word on.
    fn rest(&self, place: usize) -> &'a str {
        self.0.splitn(place + 1, ' ').nth(place).unwrap_or_default()
    }

    fn hex(&self, place: usize) -> Vec<u8> {
        let digits = self.rest(place).chars().filter_map(|c| c.to_digit(16));
        let digits: Vec<_> = digits
            .filter_map(|digit| u8::try_from(digit).ok())
            .collect();
        digits
            .chunks_exact(2)
            .map(|two| two[0] << 4 | two[1])
            .collect()
    }

    fn session(&self, place: usize, drawn: [u8; 16]) -> [u8; 16] {
        match self.number(place) {
            0 => drawn,
            number => [number.to_le_bytes()[0]; 16],
        }
    }

    fn bytes(&self, drawn: [u8; 16], digest: &mut Digest, said: &mut Said) -> Option<Vec<u8>> {
        let word = self.0.split(' ').next()?;
        let (kind, body) = match word {
            "move" | "knock" => {
                let purpose = [1, 0, u8::from(word == "knock"), 0];
                let session = self.session(1, drawn);
                (1, [MAGIC, &purpose, &session].concat())
            }
            "welcome" => {
                let version = self.u32(1).to_le_bytes();
                (2, [MAGIC, &version[..2]].concat())
            }
            "machine" => (3, self.machine()),
            "accepted" => (4, Vec::new()),
            "refused" => (5, self.hex(1)),
            "round" => (6, numbers(&[self.u32(1), self.u32(2)])),
            "pages" => return self.pages(digest, said),
            "end" => {
                let pages = self.number(2).to_le_bytes();
                (8, [&numbers(&[self.u32(1)])[..], &pages].concat())
            }
            "done" => (9, numbers(&[self.u32(1)])),
            "state" => {
                let place = [self.number(1), self.number(2)].map(u64::to_le_bytes);
                let text = self.rest(3).as_bytes();
                (10, [&place.concat(), text].concat())
            }
            "digest" => {
                let sum = digest.sum() ^ self.number(1);
                (11, sum.to_le_bytes().to_vec())
            }
            "ready" => {
                let session = self.session(1, drawn);
                let ms = self.u32(2).to_le_bytes();
                (12, [&session[..], &ms].concat())
            }
            "commit" => (COMMIT, self.session(1, drawn).to_vec()),
            "running" => (14, self.session(1, drawn).to_vec()),
            "abort" => (15, self.rest(1).into()),
            "failed" => (16, self.rest(1).into()),
            "gone" => (17, self.rest(1).into()),
            "frame" => {
                said.pages = u64::MAX;
                (self.number(1), self.hex(2))
            }
            "bytes" => {
                // Whatever it is, it may be a frame.
                said.has_committed = true;
                said.pages = u64::MAX;
                return Some(self.hex(1));
            }
            _ => return None,
        };
        said.has_committed |= kind == COMMIT;
        fuzzing::frame(u32::try_from(kind).ok()?, &body, 0)
    }

    fn machine(&self) -> Vec<u8> {
        let regions = u32::try_from(REGIONS.len()).unwrap_or(0);
        let mut body = numbers(&[self.u32(1), self.u32(2), regions]);
        for (page, pages) in REGIONS {
            body.extend(page.to_le_bytes());
            body.extend(pages.to_le_bytes());
        }
        body.extend(self.rest(3).bytes());
        body
    }

    /// One run, and all of it data unless its first byte is 0.
    fn pages(&self, digest: &mut Digest, said: &mut Said) -> Option<Vec<u8>> {
        let first = self.number(1);
        let fills = self.hex(2);
        let fills = &fills[..fills.len().min(PAGES_MAX)];
        let has_data = fills.first().is_some_and(|fill| *fill != 0);
        let count = u32::try_from(fills.len()).ok()?;
        let data_pages = if has_data { count } else { 0 };
        let mut body = numbers(&[1, data_pages]);
        body.extend(first.to_le_bytes());
        body.extend(numbers(&[count, u32::from(has_data)]));
        let mut data = Vec::new();
        for (page, fill) in (first..).zip(fills) {
            let content = [if has_data { *fill } else { 0 }; PAGE_BYTES];
            let mark = mark(&content);
            if has_data {
                // A page of zeros that is sent in full has the mark of its bytes.
                body.extend(mark.to_le_bytes());
                data.extend(content);
            }
            if let Some(index) = index_of(page) {
                digest.set(index, page, mark);
            }
        }
        said.pages = said.pages.saturating_add(count.into());
        body.extend(&data);
        fuzzing::frame(7, &body, data.len())
    }
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// The place of a page among all pages.
fn index_of(page: u64) -> Option<usize> {
    let mut before = 0;
    for (first, pages) in REGIONS {
        if (first..first + pages).contains(&page) {
            return usize::try_from(before + page - first).ok();
        }
        before += pages;
    }
    None
}
