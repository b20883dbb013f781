use std::sync::atomic::{AtomicBool as Flag, Ordering::SeqCst};

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::sync::without_release;

/// One thread writes two events into one slot while another reads.
fn read_while_written(judge: impl Fn(&[Words]) + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let ring = Arc::new(Ring::new(1));
        let writer = Arc::clone(&ring);
        let writes = thread::spawn(move || {
            writer.push([1; WORDS]);
            writer.push([2; WORDS]);
        });
        judge(&ring.contents().events);
        writes.join().unwrap();
        assert_eq!(ring.contents().events, [[2; WORDS]]);
    });
}

fn is_whole(events: &[Words]) -> bool {
    events
        .iter()
        .all(|event| event.iter().all(|word| *word == event[0] && *word != 0))
}

#[test]
fn a_reader_never_sees_half_an_event() {
    read_while_written(|events| assert!(is_whole(events)));
}

#[test]
fn the_model_sees_half_an_event_where_the_fence_is_missing() {
    static SEEN: Flag = Flag::new(false);
    without_release(|| {
        read_while_written(|events| {
            if !is_whole(events) {
                SEEN.store(true, SeqCst);
            }
        });
    });
    assert!(SEEN.load(SeqCst));
}
