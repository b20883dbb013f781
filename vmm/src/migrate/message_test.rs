use proptest::prelude::*;

use super::*;

fn every_message() -> Vec<Message> {
    let session = Session::from_bytes(*b"0123456789abcdef");
    let region = |first_page, pages| Region { first_page, pages };
    vec![
        Message::Hello {
            version: VERSION,
            purpose: Purpose::Commit,
            session,
        },
        Message::Welcome { version: 2 },
        Message::Machine {
            layout: Layout::claimed(vec![region(0, 512), region(1 << 20, 9)]),
            max_rounds: 30,
            verify: Verify::Whole,
            description: b"vcpus 4".to_vec(),
        },
        Message::Accepted,
        Message::Refused(Refusal {
            differences: vec!["no AVX".into(), "older".into()],
        }),
        Message::Round {
            number: 1,
            kind: RoundKind::Last,
        },
        Message::RoundEnd {
            number: 1,
            pages: 512,
        },
        Message::RoundDone { number: 1 },
        Message::State {
            total: 5,
            offset: 0,
            bytes: b"state".to_vec(),
        },
        Message::Digest { sum: 77 },
        Message::Ready {
            session,
            hold_ms: 30_000,
        },
        Message::Commit { session },
        Message::Running { session },
        Message::Abort("the guest has ended".into()),
        Message::Failed("no memory".into()),
        Message::Gone("never seen".into()),
    ]
}

#[test]
fn every_message_comes_back() {
    for message in every_message() {
        let kind = message.kind();
        let body = message.encode();
        assert!(body.len() <= kind.body_bytes_max(), "{message:?}");
        assert_eq!(Message::decode(kind, &body), Ok(message));
    }
}

#[test]
fn a_body_that_is_too_short_or_too_long_is_refused() {
    for message in every_message() {
        let kind = message.kind();
        let open_ended = matches!(
            kind,
            Kind::Machine | Kind::State | Kind::Abort | Kind::Failed | Kind::Gone | Kind::Refused
        );
        if open_ended {
            continue;
        }
        let mut body = message.encode();
        body.push(0);
        assert!(Message::decode(kind, &body).is_err(), "{message:?}");
        body.truncate(body.len().saturating_sub(2));
        if kind != Kind::Accepted {
            assert!(Message::decode(kind, &body).is_err(), "{message:?}");
        }
    }
}

#[test]
fn a_peers_text_cannot_move_the_cursor() {
    let message = Message::decode(Kind::Failed, b"a\x1b[2Jb\nc\xff").unwrap();
    assert_eq!(message, Message::Failed("a [2Jb c\u{fffd}".into()));
}

#[test]
fn a_long_refusal_is_cut_to_what_a_frame_takes() {
    let refusal = Refusal {
        differences: vec!["ä".repeat(5000); 500],
    };
    let body = Message::Refused(refusal).encode();
    assert!(body.len() <= Kind::Refused.body_bytes_max());
    assert!(Message::decode(Kind::Refused, &body).is_ok());
}

proptest! {
    #[test]
    fn arbitrary_bodies_are_no_panic(
        kind in prop::sample::select(every_message()),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Message::decode(kind.kind(), &body);
    }
}
