//! How long the API waits for a client.

use std::time::Duration;

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a request begins. The connection then ends without a word.
    pub idle: Duration,
    /// From a request's first byte to its last.
    pub request: Duration,
    /// Until an answer has been taken.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const LIMIT: Duration = Duration::from_secs(5);
        Self {
            idle: LIMIT,
            request: LIMIT,
            answer: LIMIT,
        }
    }
}
