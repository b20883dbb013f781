//! What the two sides say to each other, apart from pages. All numbers are little endian.

use super::digest::Verify;
use super::ends::Refusal;
use super::fields::{BadMessage, Fields, MAGIC, TEXT_BYTES_MAX, legible, shortened};
use super::frame::Kind;
use super::layout::{Layout, Region};
use super::session::Session;

/// The version of the protocol that this program speaks.
pub(super) const VERSION: u16 = 1;
/// State in one frame.
pub(super) const STATE_CHUNK_BYTES: usize = 1 << 20;
/// The most state, in all frames together.
pub(super) const STATE_BYTES_MAX: u64 = 128 << 20;
/// The longest description.
pub(super) const DESCRIPTION_BYTES_MAX: u64 = (1 << 20) - 4096;
/// The most regions that a machine may have.
const REGIONS_MAX: usize = 64;
/// The most lines of a refusal.
const LINES_MAX: usize = 32;

/// Why somebody connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To bring a machine.
    Move,
    /// To bring the COMMIT of a session whose connection broke.
    Commit,
}

/// What the guest does while a round is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoundKind {
    /// It runs; the target acknowledges the round.
    PreCopy,
    /// It stands still; state and digest follow at once.
    Last,
}

/// One frame that is not pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Hello {
        version: u16,
        purpose: Purpose,
        session: Session,
    },
    Welcome {
        version: u16,
    },
    Machine {
        layout: Layout,
        max_rounds: u32,
        verify: Verify,
        description: Vec<u8>,
    },
    Accepted,
    Refused(Refusal),
    Round {
        number: u32,
        kind: RoundKind,
    },
    RoundEnd {
        number: u32,
        pages: u64,
    },
    RoundDone {
        number: u32,
    },
    State {
        total: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    Digest {
        sum: u64,
    },
    Ready {
        session: Session,
        hold_ms: u32,
    },
    Commit {
        session: Session,
    },
    Running {
        session: Session,
    },
    Abort(String),
    Failed(String),
    Gone(String),
}

impl Message {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Hello { .. } => Kind::Hello,
            Self::Welcome { .. } => Kind::Welcome,
            Self::Machine { .. } => Kind::Machine,
            Self::Accepted => Kind::Accepted,
            Self::Refused(_) => Kind::Refused,
            Self::Round { .. } => Kind::Round,
            Self::RoundEnd { .. } => Kind::RoundEnd,
            Self::RoundDone { .. } => Kind::RoundDone,
            Self::State { .. } => Kind::State,
            Self::Digest { .. } => Kind::Digest,
            Self::Ready { .. } => Kind::Ready,
            Self::Commit { .. } => Kind::Commit,
            Self::Running { .. } => Kind::Running,
            Self::Abort(_) => Kind::Abort,
            Self::Failed(_) => Kind::Failed,
            Self::Gone(_) => Kind::Gone,
        }
    }

    /// The body.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Hello {
                version,
                purpose,
                session,
            } => {
                out.extend(MAGIC);
                out.extend(version.to_le_bytes());
                out.extend(match purpose {
                    Purpose::Move => [0, 0],
                    Purpose::Commit => [1, 0],
                });
                out.extend(session.bytes());
            }
            Self::Welcome { version } => {
                out.extend(MAGIC);
                out.extend(version.to_le_bytes());
            }
            Self::Machine {
                layout,
                max_rounds,
                verify,
                description,
            } => {
                out.extend(max_rounds.to_le_bytes());
                out.extend(match verify {
                    Verify::Sent => 0u32.to_le_bytes(),
                    Verify::Whole => 1u32.to_le_bytes(),
                });
                out.extend(count(layout.regions().len()));
                for region in layout.regions() {
                    out.extend(region.first_page.to_le_bytes());
                    out.extend(region.pages.to_le_bytes());
                }
                out.extend(description);
            }
            Self::Accepted => {}
            Self::Refused(refusal) => {
                for line in refusal.differences.iter().take(LINES_MAX) {
                    let line = shortened(line);
                    out.extend(count(line.len()));
                    out.extend(line.bytes());
                }
            }
            Self::Round { number, kind } => {
                out.extend(number.to_le_bytes());
                out.extend(match kind {
                    RoundKind::PreCopy => 0u32.to_le_bytes(),
                    RoundKind::Last => 1u32.to_le_bytes(),
                });
            }
            Self::RoundDone { number } => out.extend(number.to_le_bytes()),
            Self::RoundEnd { number, pages } => {
                out.extend(number.to_le_bytes());
                out.extend(pages.to_le_bytes());
            }
            Self::State {
                total,
                offset,
                bytes,
            } => {
                out.extend(total.to_le_bytes());
                out.extend(offset.to_le_bytes());
                out.extend(bytes);
            }
            Self::Digest { sum } => out.extend(sum.to_le_bytes()),
            Self::Ready { session, hold_ms } => {
                out.extend(session.bytes());
                out.extend(hold_ms.to_le_bytes());
            }
            Self::Commit { session } | Self::Running { session } => out.extend(session.bytes()),
            Self::Abort(text) | Self::Failed(text) | Self::Gone(text) => {
                out.extend(shortened(text).bytes());
            }
        }
        out
    }

    /// Reads the body of a frame of `kind`. Believes nothing in it.
    pub(super) fn decode(kind: Kind, body: &[u8]) -> Result<Self, BadMessage> {
        let mut fields = Fields::new(kind, body);
        let message = match kind {
            Kind::Hello => {
                fields.magic()?;
                Self::Hello {
                    version: fields.u16()?,
                    purpose: match fields.u16()? {
                        0 => Purpose::Move,
                        1 => Purpose::Commit,
                        _ => return Err(fields.bad_value()),
                    },
                    session: fields.session()?,
                }
            }
            Kind::Welcome => {
                fields.magic()?;
                Self::Welcome {
                    version: fields.u16()?,
                }
            }
            Kind::Machine => {
                let max_rounds = fields.u32()?;
                let verify = match fields.u32()? {
                    0 => Verify::Sent,
                    1 => Verify::Whole,
                    _ => return Err(fields.bad_value()),
                };
                let regions = fields.count(REGIONS_MAX)?;
                let region = |_| {
                    Ok(Region {
                        first_page: fields.u64()?,
                        pages: fields.u64()?,
                    })
                };
                Self::Machine {
                    max_rounds,
                    verify,
                    layout: Layout::claimed((0..regions).map(region).collect::<Result<_, _>>()?),
                    description: fields.all().to_vec(),
                }
            }
            Kind::Accepted => Self::Accepted,
            Kind::Refused => {
                let mut differences = Vec::new();
                while !fields.is_empty() && differences.len() < LINES_MAX {
                    let length = fields.count(TEXT_BYTES_MAX)?;
                    differences.push(legible(fields.bytes(length)?));
                }
                Self::Refused(Refusal { differences })
            }
            Kind::Round => Self::Round {
                number: fields.u32()?,
                kind: match fields.u32()? {
                    0 => RoundKind::PreCopy,
                    1 => RoundKind::Last,
                    _ => return Err(fields.bad_value()),
                },
            },
            Kind::RoundEnd => Self::RoundEnd {
                number: fields.u32()?,
                pages: fields.u64()?,
            },
            Kind::RoundDone => Self::RoundDone {
                number: fields.u32()?,
            },
            Kind::State => Self::State {
                total: fields.u64()?,
                offset: fields.u64()?,
                bytes: fields.all().to_vec(),
            },
            Kind::Digest => Self::Digest { sum: fields.u64()? },
            Kind::Ready => Self::Ready {
                session: fields.session()?,
                hold_ms: fields.u32()?,
            },
            Kind::Commit => Self::Commit {
                session: fields.session()?,
            },
            Kind::Running => Self::Running {
                session: fields.session()?,
            },
            Kind::Abort => Self::Abort(legible(fields.all())),
            Kind::Failed => Self::Failed(legible(fields.all())),
            Kind::Gone => Self::Gone(legible(fields.all())),
            // Read by `wire` in its own way: it is too long to be read at once.
            Kind::Pages => return Err(fields.bad_value()),
        };
        if fields.is_empty() {
            Ok(message)
        } else {
            Err(fields.bad_length())
        }
    }
}

fn count(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
#[path = "message_test.rs"]
mod tests;
