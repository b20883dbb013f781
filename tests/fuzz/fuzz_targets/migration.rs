//! What a peer of a migration says, as a script: frames with right checksums in any order, with any
//! bodies, over several connections. A target runs only what was committed, whole; a source that has
//! not left runs on, and one that has never does.
//!
//! A script that begins with `source` is heard by a source, any other by a target. `script.rs` has
//! the words.
#![no_main]

mod migration {
    pub mod ends;
    pub mod script;
}

use libfuzzer_sys::fuzz_target;
use migration::ends::{Doing, TestDestination, TestOrigin};
use migration::script::Script;
use vmm::migrate::{SendError, fuzzing};

fuzz_target!(|data: &[u8]| {
    let Some(script) = Script::read(data) else {
        return;
    };
    match script.is_for_a_source {
        true => source_hears(script),
        false => target_hears(&script),
    }
});

fn target_hears(script: &Script) {
    let mut destination = TestDestination::default();
    let said = script.said([0; 16]);
    let received = fuzzing::receive(said.connections, &mut destination);
    let ran = destination.doing == Doing::Runs;
    assert_eq!(ran, received.is_ok());
    assert!(!ran || said.has_committed, "it runs, and nobody said so");
    match received {
        Ok(received) => assert!(received.pages <= said.pages),
        Err(_) => assert_ne!(
            destination.doing,
            Doing::Ready,
            "it still holds the machine"
        ),
    }
}

fn source_hears(script: Script) {
    let mut origin = TestOrigin::default();
    let sent = fuzzing::send(&mut origin, move |session| script.said(session).connections);
    let stays = match sent {
        Ok(_) | Err(SendError::Lost { .. } | SendError::Unconfirmed { .. }) => false,
        Err(SendError::RunsHere { .. }) => true,
    };
    assert_eq!(stays, origin.doing == Doing::Runs);
    assert_eq!(!stays, origin.doing == Doing::Left);
    assert!(!stays || !origin.logs, "a log that nobody reads");
}
