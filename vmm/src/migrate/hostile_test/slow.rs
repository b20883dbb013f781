//! Peers that say nothing, or a byte at a time, or run ahead.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::super::error::{Error, SendError};
use super::super::fake::{Doing, FakeDestination, FakeOrigin, Shared};
use super::super::fake_network::receiver_on;
use super::super::link::Channel;
use super::super::message::{Message, Purpose, VERSION};
use super::super::options::Options;
use super::super::pace::{Pace, Paced};
use super::super::session::Session;
use super::super::source;
use super::super::transport::Dial;
use super::super::wire::{Wire, WireError};
use super::{LIMIT, SESSION, cause, framed, hello, options, source_hears};

#[test]
fn a_silent_peer_ends_in_its_time() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut receiver = receiver_on(vec![Box::new(theirs)], options());
    let mut destination = FakeDestination::new(&Shared::new());
    let error = receiver.receive(&mut destination, &mut |_| ()).unwrap_err();
    assert!(cause(&error).contains("silent"), "{}", cause(&error));
    drop(ours);
}

/// Gives a byte now and then, for ever.
#[derive(Debug)]
struct Trickle(std::iter::Cycle<std::vec::IntoIter<u8>>);

impl Read for Trickle {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        thread::sleep(LIMIT / 20);
        buf[0] = self.0.next().unwrap();
        Ok(1)
    }
}

impl Write for Trickle {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Channel for Trickle {
    fn set_slice(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn end_writing(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_peer_that_trickles_ends_in_its_time() {
    // A good hello, a byte at a time.
    let channel = Trickle(framed(&hello(Purpose::Move)).into_iter().cycle());
    let mut receiver = receiver_on(vec![Box::new(channel)], options());
    let mut destination = FakeDestination::new(&Shared::new());
    let error = receiver.receive(&mut destination, &mut |_| ()).unwrap_err();
    assert!(cause(&error).contains("slower than"), "{}", cause(&error));
}

#[test]
fn a_target_that_takes_nothing_ends_in_its_time() {
    /// Never reads.
    #[derive(Debug)]
    struct Deaf(Vec<UnixStream>);
    impl Dial for Deaf {
        fn dial(&mut self, _: Duration, pace: Pace) -> Result<Wire, Error> {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs
                .write_all(&framed(&Message::Welcome { version: VERSION }))
                .unwrap();
            theirs.write_all(&framed(&Message::Accepted)).unwrap();
            self.0.push(theirs);
            let paced = Paced::new(Box::new(ours), pace.clone()).unwrap();
            Ok(Wire::new(Box::new(paced), pace))
        }

        fn target(&self) -> String {
            "deaf".to_owned()
        }
    }
    let shared = Shared::new();
    let mut origin = FakeOrigin::new(&shared, vec![(0..200).map(|page| (page, 1)).collect()]);
    let options = Options {
        peer_timeout: LIMIT,
        ..Options::default()
    };
    let result = source::migrate(&mut origin, &mut Deaf(Vec::new()), &options, &mut |_| ());
    assert!(matches!(
        result,
        Err(SendError::RunsHere {
            why: Error::Wire(WireError::TooSlow(_)),
            ..
        })
    ));
    assert_eq!(shared.lock().source, Doing::Runs);
}

/// A target that claims to run before it was told to is at fault, and the machine stays.
#[test]
fn a_target_that_skips_ahead_is_not_believed() {
    let answers = [
        Message::Welcome { version: VERSION },
        Message::Accepted,
        Message::RoundDone { number: 1 },
        Message::Running {
            session: Session::from_bytes(SESSION),
        },
    ];
    let (result, doing) = source_hears(answers.iter().flat_map(framed).collect());
    assert!(result.unwrap_err().runs_here());
    assert_eq!(doing, Doing::Runs);
}
