//! Clients that send what they should not, slowly, too much, or nothing.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::client::Client;
use super::fake::{Fake, PATIENT, codes, in_time, parts, rest, serving, talk};
use super::{Limits, RefusalKind};
use crate::os::limits;

/// Short enough to be reached, for what has to reach it.
const SHORT: Limits = Limits {
    idle: Duration::from_millis(50),
    request: Duration::from_millis(50),
    answer: Duration::from_millis(50),
};

fn serves(path: &Path) -> bool {
    talk(
        path,
        "GET /status HTTP/1.1\r\nHost: vmm\r\nConnection: close\r\n\r\n",
    )
    .starts_with("HTTP/1.1 200 OK\r\n")
}

#[test]
fn who_says_nothing_is_left_without_a_word() {
    in_time(|| {
        serving(&Fake::default(), SHORT, |path| {
            let mut silent = UnixStream::connect(path).unwrap();
            assert_eq!(rest(&mut silent), "");
        });
    });
}

#[test]
fn half_a_request_is_told_the_limit() {
    let halves = [
        "G",
        "GET /status HTTP/1.1\r\nHost: vmm\r\n",
        "PUT /snapshot HTTP/1.1\r\nHost: vmm\r\nContent-Length: 10\r\n\r\n{",
    ];
    in_time(|| {
        let fake = Fake::default();
        serving(&fake, SHORT, |path| {
            for half in halves {
                let mut client = UnixStream::connect(path).unwrap();
                client.write_all(half.as_bytes()).unwrap();
                assert_eq!(codes(&rest(&mut client)), [408], "{half}");
                // Who goes away in the middle needs no answer.
                assert_eq!(talk(path, half), "");
            }
        });
        assert!(fake.asked().is_empty());
    });
}

#[test]
fn one_byte_at_a_time_does_not_extend_the_limit() {
    in_time(|| {
        serving(&Fake::default(), SHORT, |path| {
            let mut slow = UnixStream::connect(path).unwrap();
            slow.set_read_timeout(Some(Duration::from_millis(10)))
                .unwrap();
            slow.write_all(b"GET /status HTTP/1.1\r\nX: ").unwrap();
            let mut answer = [0; 12];
            loop {
                // Were each byte given its own limit, 431 would end this at some time.
                let _ = slow.write_all(b"x");
                match slow.read(&mut answer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => break assert_eq!(read.unwrap(), answer.len()),
                }
            }
            assert_eq!(&answer, b"HTTP/1.1 408");
            assert!(serves(path));
        });
    });
}

#[test]
fn who_does_not_read_is_left() {
    in_time(|| {
        serving(&Fake::default(), SHORT, |path| {
            let mut client = UnixStream::connect(path).unwrap();
            let request = "GET /openapi.json HTTP/1.1\r\nHost: vmm\r\n\r\n".repeat(100);
            while client.write_all(request.as_bytes()).is_ok() {}
            assert!(serves(path));
        });
    });
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    in_time(|| {
        let fake = Fake::default();
        serving(&fake, PATIENT, |path| {
            let requests = "PUT /pause HTTP/1.1\r\nHost: vmm\r\nContent-Length: 2\r\n\r\n{}\
                            GET /nowhere HTTP/1.1\r\nHost: vmm\r\n\r\n\
                            \r\nPUT /resume HTTP/1.1\r\nHost: vmm\r\n\r\n\
                            PUT /stop HTTP/1.1\r\nHost: vmm\r\nConnection: close\r\n\r\n\
                            PUT /pause HTTP/1.1\r\nHost: vmm\r\n\r\n";
            assert_eq!(codes(&talk(path, requests)), [200, 404, 200, 200]);
        });
        assert_eq!(fake.asked(), ["pause", "resume", "stop"]);
    });
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let rows = [
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)), 431),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(1 << 16)), 431),
        (
            format!(
                "PUT /snapshot HTTP/1.1\r\nHost: vmm\r\nContent-Length: 200000\r\n\r\n{}",
                "x".repeat(200_000)
            ),
            413,
        ),
        (
            "PUT /stop HTTP/1.1\r\nHost: vmm\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
                .to_owned(),
            411,
        ),
    ];
    in_time(|| {
        let fake = Fake::default();
        serving(&fake, PATIENT, |path| {
            for (request, code) in &rows {
                // The rest of it is no request of its own.
                assert_eq!(codes(&talk(path, request)), [*code]);
            }
        });
        assert!(fake.asked().is_empty());
    });
}

#[test]
fn who_sends_all_before_looking_is_told_the_refusal_too() {
    // More than the socket holds: unless the server reads on, writing fails.
    let body = "x".repeat(250_000);
    let head = "PUT /snapshot HTTP/1.1\r\nHost: vmm\r\nContent-Length: 250000\r\n\r\n";
    in_time(|| {
        serving(&Fake::default(), PATIENT, |path| {
            let mut client = UnixStream::connect(path).unwrap();
            client.write_all(head.as_bytes()).unwrap();
            client.write_all(body.as_bytes()).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(codes(&rest(&mut client)), [413]);
        });
    });
}

#[test]
fn the_body_is_asked_for_when_the_client_waits() {
    in_time(|| {
        serving(&Fake::default(), PATIENT, |path| {
            let mut client = UnixStream::connect(path).unwrap();
            let head = "PUT /stop HTTP/1.1\r\nHost: vmm\r\nConnection: close\r\nContent-Length: 2\r\n\
                        Expect: 100-continue\r\n\r\n";
            client.write_all(head.as_bytes()).unwrap();
            let mut word = [0; 25];
            client.read_exact(&mut word).unwrap();
            assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
            client.write_all(b"{}").unwrap();
            assert_eq!(codes(&rest(&mut client)), [200]);
            let refused = head.replace("Content-Length: 2", "Content-Length: 99999");
            assert_eq!(codes(&talk(path, refused)), [413]);
        });
    });
}

#[test]
fn an_answer_to_head_has_no_body() {
    in_time(|| {
        serving(&Fake::default(), PATIENT, |path| {
            let answer = talk(path, "HEAD /status HTTP/1.1\r\nHost: vmm\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        });
    });
}

#[test]
fn a_thousand_connections_do_not_keep_one_out() {
    limits::raise_open_files();
    in_time(|| {
        serving(&Fake::default(), PATIENT, |path| {
            let mut open = Vec::new();
            for number in 0..1000 {
                let mut stream = UnixStream::connect(path).unwrap();
                // Some may have been refused by now.
                let _ = stream.write_all(&b"GET /status HTTP/1.1\r\n"[..number % 20]);
                open.push(stream);
            }
            // While threads are on their way out a connection may be told to try again.
            let status = loop {
                match Client::connect(path).unwrap().status() {
                    Err(super::client::Error::Refused { code: 503, .. }) => {}
                    other => break other.unwrap(),
                }
            };
            assert_eq!(status, super::fake::status());
        });
    });
}

#[test]
fn a_refusal_is_told_whole() {
    in_time(|| {
        let fake = Fake::default();
        fake.refuse(Some(super::Refusal {
            kind: RefusalKind::Conflict,
            message: "a \"quote\"\r\nand a line".to_owned(),
            details: vec!["one".to_owned(), "two".to_owned()],
        }));
        serving(&fake, PATIENT, |path| {
            let answer = talk(path, "PUT /pause HTTP/1.1\r\nHost: vmm\r\n\r\n");
            let (code, head, body) = parts(&answer);
            assert_eq!(code, 409);
            assert!(!head.contains("line"));
            assert_eq!(body["error"], "a \"quote\"\r\nand a line");
            assert_eq!(body["details"], serde_json::json!(["one", "two"]));
        });
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1))]

    /// One server for all of them.
    #[test]
    fn any_bytes_end_in_an_error_or_in_nothing(
        all in prop::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                "(GET|PUT|POST|)( |)(/|/status|/pause|/snapshot)( |)(HTTP/1.1|)(\r\n|)(Host: v\r\n|)\
                 (Content-Length: [0-9]{1,6}\r\n|)(\r\n|)[ -~]{0,50}"
                    .prop_map(String::into_bytes),
            ],
            500,
        )
    ) {
        in_time(|| {
            serving(&Fake::default(), PATIENT, |path| {
                for bytes in all {
                    for code in codes(&talk(path, &bytes)) {
                        let known = [200, 400, 404, 405, 408, 411, 413, 417, 431];
                        assert!(known.contains(&code), "{code}: {bytes:?}");
                    }
                }
                assert!(serves(path));
            });
        });
    }
}
