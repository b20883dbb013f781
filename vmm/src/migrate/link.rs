//! What carries the bytes of a migration.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::Duration;

/// A stream socket whose calls wait for a slice of time only.
pub(super) trait Channel: Read + Write + Send + fmt::Debug {
    /// No call waits longer than `slice`; it fails with `WouldBlock` instead.
    fn set_slice(&self, slice: Duration) -> io::Result<()>;
    /// Nothing more is written; reading goes on.
    fn end_writing(&self) -> io::Result<()>;
}

/// What frames travel over: a socket, or TLS over one.
pub(super) trait Link: Read + Write + Send + fmt::Debug {
    /// Waits a little until the peer has hung up. Closing TCP with unread bytes resets it, and the
    /// peer may lose what it was told last (RFC 9293, 3.6.1).
    fn part(&mut self);
}
