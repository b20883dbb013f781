//! An HTTP/1.1 response as bytes; no I/O.

use serde::{Deserialize, Serialize};

use super::operations::{Refusal, RefusalKind};

/// A response's body for everything that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ErrorBody {
    /// One sentence: the thing and the cure.
    pub error: String,
    /// More, one fact an entry.
    pub details: Vec<String>,
}

/// Status codes in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Code {
    Ok = 200,
    BadRequest = 400,
    NotFound = 404,
    MethodNotAllowed = 405,
    RequestTimeout = 408,
    Conflict = 409,
    Gone = 410,
    LengthRequired = 411,
    BodyTooLarge = 413,
    ExpectationFailed = 417,
    HeadersTooLarge = 431,
    Failed = 500,
    Busy = 503,
}

impl Code {
    fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::BadRequest => "Bad Request",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::RequestTimeout => "Request Timeout",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::LengthRequired => "Length Required",
            Self::BodyTooLarge => "Content Too Large",
            Self::ExpectationFailed => "Expectation Failed",
            Self::HeadersTooLarge => "Request Header Fields Too Large",
            Self::Failed => "Internal Server Error",
            Self::Busy => "Service Unavailable",
        }
    }
}

/// What the client is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub code: Code,
    /// JSON.
    pub body: Vec<u8>,
    /// The method that this path takes, for a 405.
    pub allow: Option<&'static str>,
}

/// What happens to the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next request is read.
    KeepAlive,
    /// It is closed.
    Close,
}

/// Whether a response has its body. An answer to HEAD must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Sent,
    Omitted,
}

impl Response {
    /// A success.
    pub(super) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::of(Code::Ok, body),
            Err(error) => Self::error(Code::Failed, format!("the answer is no JSON: {error}")),
        }
    }

    /// A success that is JSON already.
    pub(super) fn text(body: &str) -> Self {
        Self::of(Code::Ok, body.as_bytes().to_vec())
    }

    /// A failure.
    pub(super) fn error(code: Code, message: impl Into<String>) -> Self {
        Self::failure(
            code,
            &ErrorBody {
                error: message.into(),
                details: Vec::new(),
            },
        )
    }

    fn failure(code: Code, body: &ErrorBody) -> Self {
        // Strings always serialize.
        Self::of(code, serde_json::to_vec(body).unwrap_or_default())
    }

    fn of(code: Code, mut body: Vec<u8>) -> Self {
        body.push(b'\n');
        let allow = None;
        Self { code, body, allow }
    }

    /// The bytes on the wire.
    pub(super) fn render(&self, after: After, content: Content) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.code as u16,
            self.code.reason(),
            self.body.len()
        );
        if let Some(method) = self.allow {
            head.push_str("Allow: ");
            head.push_str(method);
            head.push_str("\r\n");
        }
        if after == After::Close {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if content == Content::Sent {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.kind {
            RefusalKind::Conflict => Code::Conflict,
            RefusalKind::Invalid => Code::BadRequest,
            RefusalKind::Failed => Code::Failed,
            RefusalKind::Gone => Code::Gone,
        };
        Self::failure(
            code,
            &ErrorBody {
                error: refusal.message,
                details: refusal.details,
            },
        )
    }
}
