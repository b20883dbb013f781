use proptest::prelude::*;

use super::*;

fn whole(text: &str) -> Head {
    match parse(text.as_bytes()) {
        Parsed::Whole { head, length } => {
            assert_eq!(length, text.len());
            head
        }
        other => panic!("{text:?}: {other:?}"),
    }
}

fn code(text: &str) -> Code {
    match parse(text.as_bytes()) {
        Parsed::Refused(response) => response.code,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn a_head_says_what_matters() {
    let head = whole("GET /status HTTP/1.1\r\nHost: vmm\r\n\r\n");
    let expected = Head {
        method: "GET".to_owned(),
        path: "/status".to_owned(),
        body: 0,
        expects_continue: false,
        keep_alive: true,
    };
    assert_eq!(head, expected);
    let head = whole(
        "PUT /snapshot HTTP/1.1\r\nhost: vmm\r\nCONTENT-length:  12 \r\n\
         Expect: 100-Continue\r\nConnection: foo, Close\r\n\r\n",
    );
    assert_eq!(head.body, 12);
    assert!(head.expects_continue);
    assert!(!head.keep_alive);
}

#[test]
fn http_1_0_closes_and_needs_no_host() {
    let head = whole("GET /status HTTP/1.0\r\n\r\n");
    assert!(!head.keep_alive);
}

#[test]
fn absolute_targets_are_taken() {
    for (target, path) in [
        ("http://vmm/status", "/status"),
        ("http://vmm", "/"),
        ("/status?x", "/status?x"),
        ("*", "*"),
    ] {
        let head = whole(&format!("GET {target} HTTP/1.1\r\nHost: vmm\r\n\r\n"));
        assert_eq!(head.path, path);
    }
}

#[test]
fn what_cannot_be_served_has_its_own_code() {
    let rows = [
        ("Host: vmm\r\nContent-Length: -1", Code::BadRequest),
        ("Host: vmm\r\nContent-Length: +1", Code::BadRequest),
        ("Host: vmm\r\nContent-Length: 1, 1", Code::BadRequest),
        ("Host: vmm\r\nContent-Length:", Code::BadRequest),
        (
            "Host: vmm\r\nContent-Length: 1\r\nContent-Length: 1",
            Code::BadRequest,
        ),
        ("Host: vmm\r\nContent-Length: 32769", Code::BodyTooLarge),
        (
            "Host: vmm\r\nContent-Length: 99999999999999999999999",
            Code::BodyTooLarge,
        ),
        (
            "Host: vmm\r\nTransfer-Encoding: chunked",
            Code::LengthRequired,
        ),
        (
            "Host: vmm\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
            Code::LengthRequired,
        ),
        ("Host: vmm\r\nExpect: cake", Code::ExpectationFailed),
        ("X: no host", Code::BadRequest),
        ("Host: a\r\nHost: b", Code::BadRequest),
        ("Host : a", Code::BadRequest),
        ("Host: a\r\n folded", Code::BadRequest),
    ];
    for (headers, expected) in rows {
        let text = format!("PUT /stop HTTP/1.1\r\n{headers}\r\n\r\n");
        assert_eq!(code(&text), expected, "{headers}");
    }
    assert_eq!(code("\x16\x03\x01\x02"), Code::BadRequest);
    assert_eq!(code("GET /status HTTP/2.0\r\n\r\n"), Code::BadRequest);
}

#[test]
fn heads_are_bounded() {
    let longest = HEAD_MAX - "GET / HTTP/1.1\r\nHost: v\r\nX: \r\n\r\n".len();
    let head = |length| {
        format!(
            "GET / HTTP/1.1\r\nHost: v\r\nX: {}\r\n\r\n",
            "x".repeat(length)
        )
    };
    whole(&head(longest));
    assert_eq!(code(&head(longest + 1)), Code::HeadersTooLarge);
    assert_eq!(
        code(&format!("GET /{}", "x".repeat(HEAD_MAX))),
        Code::HeadersTooLarge
    );
    let many = |count| {
        format!(
            "GET / HTTP/1.1\r\n{}Host: v\r\n\r\n",
            "X: x\r\n".repeat(count)
        )
    };
    whole(&many(HEADERS_MAX - 1));
    assert_eq!(code(&many(HEADERS_MAX)), Code::HeadersTooLarge);
    assert_eq!(code(&"\r\n".repeat(HEAD_MAX)), Code::HeadersTooLarge);
}

proptest! {
    #[test]
    fn any_bytes_are_taken_apart_within_bounds(bytes: Vec<u8>) {
        if let Parsed::Whole { head, length } = parse(&bytes) {
            prop_assert!(length <= bytes.len().min(HEAD_MAX));
            prop_assert!(head.body <= BODY_MAX);
        }
    }

    /// Wherever the bytes of a request are cut on their way, the request is the same.
    #[test]
    fn a_head_is_partial_until_it_is_whole(
        name in "[A-Za-z-]{1,20}",
        value in "[ -~]{0,40}",
        body in 0_usize..BODY_MAX,
        more: Vec<u8>,
    ) {
        let name = format!("X{name}");
        let text = format!(
            "PUT /stop HTTP/1.1\r\nHost: vmm\r\n{name}: {value}\r\nContent-Length: {body}\r\n\r\n"
        );
        let mut bytes = text.clone().into_bytes();
        bytes.extend(more);
        let Parsed::Whole { head, length } = parse(&bytes) else {
            panic!("{text:?}");
        };
        prop_assert_eq!((head.body, length), (body, text.len()));
        for cut in 0..length {
            prop_assert_eq!(parse(&bytes[..cut]), Parsed::Partial);
        }
    }
}
