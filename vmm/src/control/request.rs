//! The head of an HTTP/1.1 request, from bytes; no I/O.

use super::response::{Code, Response};

/// Longest request line and headers, in bytes.
pub(super) const HEAD_MAX: usize = 8 << 10;
/// Longest body in bytes.
pub(super) const BODY_MAX: usize = 32 << 10;
/// Most headers.
const HEADERS_MAX: usize = 32;

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a head.
    Partial,
    /// A head of `length` bytes.
    Whole { head: Head, length: usize },
    /// Nothing that can be served; the connection's framing is lost.
    Refused(Response),
}

/// What a request's head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub method: String,
    /// The path, without the scheme and authority of an absolute target.
    pub path: String,
    /// Length of the body in bytes, up to [`BODY_MAX`].
    pub body: usize,
    /// The client waits for a word before it sends the body.
    pub expects_continue: bool,
    /// The connection can be used again.
    pub keep_alive: bool,
}

/// Takes the head at the start of `bytes` apart.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let within = &bytes[..bytes.len().min(HEAD_MAX)];
    match request.parse(within) {
        Ok(httparse::Status::Complete(length)) => match head(&request) {
            Ok(head) => Parsed::Whole { head, length },
            Err(refused) => Parsed::Refused(refused),
        },
        Ok(httparse::Status::Partial) if within.len() == HEAD_MAX => {
            Parsed::Refused(too_large(format!("more than {HEAD_MAX} bytes")))
        }
        Ok(httparse::Status::Partial) => Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => {
            Parsed::Refused(too_large(format!("more than {HEADERS_MAX} headers")))
        }
        Err(error) => Parsed::Refused(bad(format!("no HTTP/1.1 request: {error}"))),
    }
}

fn too_large(what: String) -> Response {
    Response::error(
        Code::HeadersTooLarge,
        format!("request line and headers have {what}"),
    )
}

fn bad(message: impl Into<String>) -> Response {
    Response::error(Code::BadRequest, message)
}

fn head(request: &httparse::Request<'_, '_>) -> Result<Head, Response> {
    let http11 = request.version == Some(1);
    let mut length = None;
    let mut hosts = 0;
    let mut expects_continue = false;
    let mut keep_alive = http11;
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let value = header.value.trim_ascii();
        if is("host") {
            hosts += 1;
        } else if is("content-length") {
            // Two lengths, or two ways to tell one, are how requests are smuggled (RFC 9112, 11.2).
            let Some(bytes) = decimal(value).filter(|_| length.is_none()) else {
                return Err(bad("Content-Length is not one number"));
            };
            length = Some(bytes);
        } else if is("transfer-encoding") {
            return Err(Response::error(
                Code::LengthRequired,
                "a body without Content-Length is not taken",
            ));
        } else if is("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Response::error(
                    Code::ExpectationFailed,
                    "nothing but 100-continue can be expected",
                ));
            }
            expects_continue = http11;
        } else if is("connection") {
            let mut options = value.split(|byte| *byte == b',');
            if options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close")) {
                keep_alive = false;
            }
        }
    }
    if http11 && hosts != 1 {
        return Err(bad("a request has one Host header"));
    }
    let body = length.unwrap_or(0);
    let body = usize::try_from(body).unwrap_or(usize::MAX);
    if body > BODY_MAX {
        return Err(Response::error(
            Code::BodyTooLarge,
            format!("the body has {body} bytes, at most {BODY_MAX} are taken"),
        ));
    }
    Ok(Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path(request.path.unwrap_or_default()).to_owned(),
        body,
        expects_continue,
        keep_alive,
    })
}

/// Digits only: no sign, no list.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number that no u64 holds is too long whatever it is.
    let text = std::str::from_utf8(value).ok()?;
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Servers have to take absolute targets too (RFC 9112, 3.2.2).
fn path(target: &str) -> &str {
    let Some(rest) = target.strip_prefix("http://") else {
        return target;
    };
    rest.find('/').map_or("/", |at| &rest[at..])
}

#[cfg(test)]
#[path = "request_test.rs"]
mod tests;
