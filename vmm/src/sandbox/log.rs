//! `--sandbox log`: a thread beside each confined thread that hears what it calls, says what is not on
//! its list, and lets it through.

use std::collections::HashSet;
use std::io;
use std::sync::mpsc::channel;
use std::thread::Builder;

use seccompiler::BpfProgram;

use crate::os::seccomp::{self, Fate};
use crate::os::seccomp_listener::Listener;

/// Gives the calling thread, which `who` names, a filter that asks. The kernel takes one listener a
/// thread: there is none of this where a container's runtime listens already.
pub(super) fn confine(who: String, program: &BpfProgram) -> io::Result<()> {
    let (hand_over, handed_over) = channel();
    Builder::new()
        .name("sandbox-log".to_owned())
        .spawn(move || {
            if let Ok(listener) = handed_over.recv() {
                overhear(&who, &listener);
            }
        })?;
    let listener = Listener::install(program)?;
    // Fails where the thread has gone; then calls that are asked about fail with ENOSYS.
    drop(hand_over.send(listener));
    Ok(())
}

/// Until the thread has ended. Each call is told once.
fn overhear(who: &str, listener: &Listener) {
    let mut told = HashSet::new();
    while listener.wait() {
        let Ok(asked) = listener.hear() else {
            // A signal took the thread out of the call that was to be asked about, or this one out
            // of its wait. The next wait tells whether that was all.
            continue;
        };
        let request = (asked.call == libc::SYS_ioctl).then_some(asked.second_argument);
        if told.insert((asked.call, request)) {
            let second = asked.second_argument;
            seccomp::tell(who.as_bytes(), asked.call, second, Fate::LetThrough);
        }
        match listener.let_through(asked) {
            // It is killed, and others may be asked about.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            // Without a listener such calls fail with ENOSYS, and nothing waits for ever.
            Err(_) => return,
            Ok(()) => {}
        }
    }
}
