//! Peers that are slow, silent, or say whatever they like.

mod slow;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::batch::Batch;
use super::digest::Verify;
use super::error::{Error, ReceiveError, SendError};
use super::fake::{Doing, FakeDestination, FakeOrigin, Shared, memory};
use super::fake_network::receiver_on;
use super::frame::{Header, Kind};
use super::layout::Layout;
use super::link::Channel;
use super::message::{Message, Purpose, RoundKind, VERSION};
use super::options::{Options, ReceiveOptions};
use super::pace::{Pace, Paced};
use super::session::Session;
use super::transport::Dial;
use super::wire::Wire;
use super::{PAGE_BYTES, source};

const LIMIT: Duration = Duration::from_millis(100);

fn options() -> ReceiveOptions {
    ReceiveOptions {
        peer_timeout: LIMIT,
        commit_timeout: LIMIT,
        ..ReceiveOptions::default()
    }
}

/// What a target says to a peer that sends `bytes` and hangs up.
fn target_hears(bytes: &[u8]) -> Result<super::Received, ReceiveError> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let shared = Shared::new();
    // Nobody else runs it: were it to run here, that would be right.
    shared.lock().source = Doing::Killed;
    let mut destination = FakeDestination::new(&shared);
    let options = options();
    let cancel = std::sync::Arc::clone(&options.cancel);
    let mut receiver = receiver_on(vec![Box::new(theirs)], options);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut ours = &ours;
            // It may hang up first.
            let _ = ours.write_all(bytes);
            let _ = ours.shutdown(Shutdown::Write);
            let _ = io::copy(&mut ours, &mut io::sink());
            cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let result = receiver.receive(&mut destination, &mut |_| ());
        drop(receiver);
        let ran = shared.lock().target == Doing::Runs;
        assert_eq!(ran, result.is_ok());
        let _ = ours.shutdown(Shutdown::Both);
        result
    })
}

/// A target that says `bytes` whatever it is told.
#[derive(Debug)]
struct Babbler(Vec<u8>);

impl Dial for Babbler {
    fn dial(&mut self, _: Duration, pace: Pace) -> Result<Wire, Error> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let bytes = self.0.clone();
        thread::spawn(move || {
            let _ = theirs.write_all(&bytes);
            let _ = theirs.shutdown(Shutdown::Write);
            let _ = io::copy(&mut theirs, &mut io::sink());
        });
        let paced = Paced::new(Box::new(ours), pace.clone()).unwrap();
        Ok(Wire::new(Box::new(paced), pace))
    }

    fn target(&self) -> String {
        "babbler".to_owned()
    }
}

fn source_hears(bytes: Vec<u8>) -> (Result<super::Report, SendError>, Doing) {
    let shared = Shared::new();
    let mut origin = FakeOrigin::new(&shared, vec![vec![(1, 1)]]);
    let options = Options {
        peer_timeout: LIMIT,
        commit_timeout: LIMIT,
        ..Options::default()
    };
    let result = source::migrate(&mut origin, &mut Babbler(bytes), &options, &mut |_| ());
    let doing = shared.lock().source;
    (result, doing)
}

fn framed(message: &Message) -> Vec<u8> {
    let body = message.encode();
    let mut bytes = Header::bytes(message.kind(), &body, 0).to_vec();
    bytes.extend(body);
    bytes
}

const SESSION: [u8; 16] = [7; 16];

fn hello(purpose: Purpose) -> Message {
    Message::Hello {
        version: VERSION,
        purpose,
        session: Session::from_bytes(SESSION),
    }
}

fn machine() -> Message {
    Message::Machine {
        layout: Layout::of(&memory()),
        max_rounds: 3,
        verify: Verify::Sent,
        description: Vec::new(),
    }
}

fn pages(first: u64, fills: &[u8]) -> Vec<u8> {
    let mut batch = Batch::new();
    let read = |bytes: &mut [u8]| {
        for (page, fill) in bytes.chunks_mut(PAGE_BYTES).zip(fills) {
            page.fill(*fill);
        }
        Ok::<_, ()>(())
    };
    batch.take(first, fills.len(), read, |_, _| ()).unwrap();
    let mut head = Vec::new();
    let data = batch.encode(&mut head);
    let mut bytes = Header::bytes(Kind::Pages, &head, data.len()).to_vec();
    bytes.extend(&head);
    bytes.extend(data);
    bytes
}

fn any_message() -> impl Strategy<Value = Message> {
    let session = prop_oneof![Just(SESSION), any::<[u8; 16]>()].prop_map(Session::from_bytes);
    let number = 0u32..5;
    prop_oneof![
        Just(hello(Purpose::Move)),
        Just(hello(Purpose::Commit)),
        Just(Message::Welcome { version: VERSION }),
        Just(machine()),
        Just(Message::Accepted),
        (number.clone(), any::<bool>()).prop_map(|(number, last)| Message::Round {
            number,
            kind: if last {
                RoundKind::Last
            } else {
                RoundKind::PreCopy
            },
        }),
        (number.clone(), 0u64..3).prop_map(|(number, pages)| Message::RoundEnd { number, pages }),
        number.prop_map(|number| Message::RoundDone { number }),
        (0u64..4, 0u64..4, prop::collection::vec(any::<u8>(), 0..4)).prop_map(
            |(total, offset, bytes)| Message::State {
                total,
                offset,
                bytes
            }
        ),
        (0u64..2).prop_map(|sum| Message::Digest { sum }),
        (session.clone(), any::<u32>())
            .prop_map(|(session, hold_ms)| Message::Ready { session, hold_ms }),
        session
            .clone()
            .prop_map(|session| Message::Commit { session }),
        session.prop_map(|session| Message::Running { session }),
        Just(Message::Abort("enough".into())),
        Just(Message::Failed("no".into())),
        Just(Message::Gone("no".into())),
    ]
}

fn cause(error: &ReceiveError) -> String {
    crate::error_chain::in_one_line(error)
}

#[test]
fn a_peer_with_another_protocol_is_told_apart() {
    for (bytes, words) in [
        (
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            "not this protocol",
        ),
        (&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 9, 9], "speaks TLS"),
    ] {
        let error = target_hears(bytes).unwrap_err();
        assert!(matches!(error, ReceiveError::Stranger { .. }));
        assert!(cause(&error).contains(words), "{}", cause(&error));
    }
}

#[test]
fn another_version_is_named_on_both_sides() {
    let mut hello = framed(&hello(Purpose::Move));
    hello[20] = 2;
    let crc = super::frame::checksum(hello[..12].try_into().unwrap(), &hello[12..]);
    hello[8..12].copy_from_slice(&crc.to_le_bytes());
    let error = cause(&target_hears(&hello).unwrap_err());
    assert!(
        error.contains("version 2") && error.contains("version 1"),
        "{error}"
    );
    let (result, doing) = source_hears(framed(&Message::Welcome { version: 9 }));
    let error = crate::error_chain::in_one_line(&result.unwrap_err());
    assert!(error.contains("version 9"), "{error}");
    assert_eq!(doing, Doing::Runs);
}

#[test]
fn pages_outside_memory_or_too_many_or_damaged_end_it() {
    let start = [
        framed(&hello(Purpose::Move)),
        framed(&machine()),
        framed(&Message::Round {
            number: 1,
            kind: RoundKind::PreCopy,
        }),
    ]
    .concat();
    let mut damaged = pages(0, &[1, 2]);
    *damaged.last_mut().unwrap() ^= 1;
    let twice = [pages(0, &[0; 200]), pages(0, &[0; 200])].concat();
    for (bytes, words) in [
        (pages(199, &[1, 1]), "outside this machine's memory"),
        (pages(1 << 52, &[0]), "outside this machine's memory"),
        (damaged, "page 0x1 arrived damaged"),
        (twice, "more pages in a round"),
    ] {
        let error = cause(&target_hears(&[start.clone(), bytes].concat()).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
    let early = [
        framed(&hello(Purpose::Move)),
        framed(&machine()),
        pages(0, &[1]),
    ]
    .concat();
    let error = cause(&target_hears(&early).unwrap_err());
    assert!(error.contains("while a round was due"), "{error}");
}

/// Everything up to the digest, of a machine with one page.
fn whole_machine() -> Vec<u8> {
    let round = Message::Round {
        number: 1,
        kind: RoundKind::Last,
    };
    let end = Message::RoundEnd {
        number: 1,
        pages: 1,
    };
    [
        framed(&hello(Purpose::Move)),
        framed(&machine()),
        framed(&round),
        pages(3, &[1]),
        framed(&end),
    ]
    .concat()
}

/// The digest of that machine, with some bits changed.
fn digest(changed: u64) -> Vec<u8> {
    let mut digest = super::digest::Digest::new(260);
    digest.set(3, 3, super::digest::mark(&[1; PAGE_BYTES]));
    framed(&Message::Digest {
        sum: digest.sum() ^ changed,
    })
}

fn commit(session: [u8; 16]) -> Vec<u8> {
    framed(&Message::Commit {
        session: Session::from_bytes(session),
    })
}

#[test]
fn memory_that_differs_starts_no_machine() {
    let good = [whole_machine(), digest(0), commit(SESSION)].concat();
    assert!(target_hears(&good).is_ok());
    let bad = [whole_machine(), digest(1), commit(SESSION)].concat();
    let error = cause(&target_hears(&bad).unwrap_err());
    assert!(error.contains("memory differs"), "{error}");
}

#[test]
fn a_commit_of_another_session_starts_no_machine() {
    let other = [whole_machine(), digest(0), commit([8; 16])].concat();
    let error = target_hears(&other).unwrap_err();
    assert!(
        matches!(error, ReceiveError::NotCommitted { .. }),
        "{error:?}"
    );
}

/// While a machine is held its own COMMIT is heard over any connection, and no other's.
#[test]
fn a_held_machine_waits_for_its_own_commit() {
    let knock = |session: [u8; 16]| {
        let hello = Message::Hello {
            version: VERSION,
            purpose: Purpose::Commit,
            session: Session::from_bytes(session),
        };
        [framed(&hello), commit(session)].concat()
    };
    let said = [
        [whole_machine(), digest(0)].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        knock([8; 16]),
        knock(SESSION),
    ];
    let (mut ours, mut theirs) = (Vec::new(), Vec::<Box<dyn Channel>>::new());
    for bytes in said {
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(&bytes).unwrap();
        ours.push(near);
        theirs.push(Box::new(far));
    }
    let shared = Shared::new();
    shared.lock().source = Doing::Left;
    let mut destination = FakeDestination::new(&shared);
    let patient = ReceiveOptions::default();
    let mut receiver = receiver_on(theirs, patient);
    receiver.receive(&mut destination, &mut |_| ()).unwrap();
    assert_eq!(shared.lock().target, Doing::Runs);
    let answers = ours.into_iter().map(|mut near| {
        let mut bytes = Vec::new();
        // A stranger is not heard out, so his connection is reset after the answer.
        let _ = near.read_to_end(&mut bytes);
        let mut kinds = Vec::new();
        let mut rest = &bytes[..];
        while let Some((header, after)) = rest.split_first_chunk() {
            let header = Header::parse(header).unwrap();
            kinds.push(header.kind);
            rest = &after[header.length..];
        }
        kinds
    });
    let expected = [
        vec![Kind::Welcome, Kind::Accepted, Kind::Ready],
        vec![Kind::Failed],
        vec![Kind::Welcome, Kind::Gone],
        vec![Kind::Welcome, Kind::Running],
    ];
    assert_eq!(answers.collect::<Vec<_>>(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_start_no_machine(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(target_hears(&bytes).is_err());
        let (result, doing) = source_hears(bytes);
        prop_assert!(result.unwrap_err().runs_here());
        prop_assert_eq!(doing, Doing::Runs);
    }

    /// Whole frames in any order: the target runs only what a source could have committed.
    #[test]
    fn arbitrary_frames_start_no_machine_without_a_commit(
        messages in prop::collection::vec(any_message(), 0..12),
        page in (0u64..1000, prop::collection::vec(0u8..2, 1..4)),
    ) {
        let mut bytes = [framed(&hello(Purpose::Move)), framed(&machine())].concat();
        for (n, message) in messages.iter().enumerate() {
            bytes.extend(framed(message));
            if n == 2 {
                bytes.extend(pages(page.0, &page.1));
            }
        }
        let committed = messages.contains(&Message::Commit { session: Session::from_bytes(SESSION) });
        prop_assert!(target_hears(&bytes).is_err() || committed);
        let (result, doing) = source_hears(messages.iter().flat_map(framed).collect());
        // Nobody can guess the session, so nobody can say READY.
        prop_assert!(result.unwrap_err().runs_here());
        prop_assert_eq!(doing, Doing::Runs);
    }
}
