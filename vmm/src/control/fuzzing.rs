//! A door for the fuzz targets: one connection's bytes, served in the calling thread.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::connection;
use super::connections::Connections;
use super::limits::Limits;
use super::operations::Operations;

/// Limits that nobody reaches.
const PATIENT: Limits = Limits {
    idle: Duration::from_secs(3600),
    request: Duration::from_secs(3600),
    answer: Duration::from_secs(3600),
};

/// All that a client hears who sends `bytes`, at most as many as a socket holds, and no more.
///
/// # Errors
/// What socketpair and its ends say.
pub fn answers(operations: &dyn Operations, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let (ours, mut client) = UnixStream::pair()?;
    // It may end before all is heard.
    let mut reader = client.try_clone()?;
    client.set_nonblocking(true)?;
    client.write_all(bytes)?;
    client.set_nonblocking(false)?;
    client.shutdown(Shutdown::Write)?;
    thread::scope(|scope| {
        // What is not read would make the server wait.
        let reading = scope.spawn(move || {
            let mut answers = Vec::new();
            // Reset where the server left something unread.
            let _ = reader.read_to_end(&mut answers);
            answers
        });
        let connections = Arc::<Connections>::default();
        if let Ok(place) = connections.admit(ours) {
            connection::serve(&place, operations, &PATIENT);
        }
        reading
            .join()
            .map_err(|_| io::Error::other("the reader panicked"))
    })
}
