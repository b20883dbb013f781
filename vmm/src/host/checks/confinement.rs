//! What `--sandbox` is made of. Tried in threads that end with the experiment: nobody gets back what a
//! thread has given away.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::process::parent_id;
use std::sync::mpsc::channel;
use std::thread;

use seccompiler::{apply_filter, sock_filter};

use crate::host::HostError;
use crate::host::check::{Finding, Host};
use crate::host::error::Step;
use crate::os::landlock::{self, Deny};
use crate::os::seccomp;
use crate::os::seccomp_listener::{ASK, Listener};

/// A call that nothing makes in passing, and that has no arguments; [`parent_id`] makes it.
#[expect(clippy::cast_possible_truncation, reason = "110")]
const CALL: u32 = libc::SYS_getppid as u32;

/// What `work` gives in a thread of its own.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, HostError> + Send) -> Result<T, HostError> {
    thread::scope(|scope| scope.spawn(work).join()).map_err(|_| panicked())?
}

fn panicked() -> HostError {
    HostError::Unexpected("the thread that tried it panicked".to_owned())
}

pub(super) fn landlock(_: &Host) -> Result<Finding, HostError> {
    let Some(version) = landlock::version() else {
        return Ok(Finding::either(
            false,
            "",
            "`--sandbox` filters system calls, and takes no files away from those that a thread may make",
        ));
    };
    let opened = apart(|| {
        landlock::deny(Deny::Everything).step("landlock_restrict_self")?;
        Ok(File::open("/dev/null"))
    })?;
    match opened {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        other => {
            let message = format!("a file that was forbidden opened: {other:?}");
            return Err(HostError::Unexpected(message));
        }
    }
    let what = if version < landlock::NET_SINCE {
        "files"
    } else {
        "files and TCP"
    };
    Ok(Finding::value(
        format!("version {version}"),
        format!("`--sandbox on` takes {what} away from threads that need none"),
    ))
}

/// Returns `action` for [`CALL`] and lets all others through.
fn filter(action: u32) -> [sock_filter; 4] {
    let instruction = |code: u32, k, jf| sock_filter {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt: 0,
        jf,
        k,
    };
    [
        // The number is the first word of seccomp_data.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, CALL, 1),
        instruction(libc::BPF_RET | libc::BPF_K, action, 0),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ]
}

pub(super) fn seccomp_trap(_: &Host) -> Result<Finding, HostError> {
    let action = libc::SECCOMP_RET_TRAP;
    // A kernel takes filters with actions that it does not know, and then kills for them.
    let is_taken =
        seccomp::look_for(action).is_ok() && apart(|| Ok(apply_filter(&filter(action)).is_ok()))?;
    Ok(Finding::either(
        is_taken,
        "`--sandbox on` works: a call that a thread does not need ends the process with a line",
        "no `--sandbox on`, which is the default: run with `--sandbox off`",
    ))
}

pub(super) fn seccomp_notify(_: &Host) -> Result<Finding, HostError> {
    let is_heard = seccomp::look_for(ASK).is_ok() && asks()?;
    Ok(Finding::either(
        is_heard,
        "`--sandbox log` works: such a call is told, and carried out",
        "no `--sandbox log`",
    ))
}

/// Whether a call is heard of that a filter asks about, and then carried out.
fn asks() -> Result<bool, HostError> {
    let (hand_over, handed_over) = channel::<Listener>();
    let parent = parent_id();
    thread::scope(|scope| {
        let asks = scope.spawn(move || {
            let listener = Listener::install(&filter(ASK))?;
            // Who hears it waits for this, or for the end of the channel.
            let _ = hand_over.send(listener);
            Ok::<_, io::Error>(parent_id())
        });
        let mut has_heard = false;
        if let Ok(listener) = handed_over.recv() {
            // Until it has been heard, not until the thread has ended: before Linux 5.9 nobody is told
            // of that. Whoever waits for an answer that does not come fails when this is dropped.
            while !has_heard && listener.wait() {
                if let Ok(asked) = listener.hear() {
                    let is_it = asked.call == i64::from(CALL);
                    if listener.let_through(asked).is_err() {
                        break;
                    }
                    has_heard = is_it;
                }
            }
        }
        match asks.join() {
            Ok(told) => Ok(has_heard && told.is_ok_and(|told| told == parent)),
            Err(_) => Err(panicked()),
        }
    })
}

#[cfg(test)]
mod tests {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

    use super::*;
    use crate::host::check::Answer;

    type Attempt = fn(&Host) -> Result<Finding, HostError>;
    const ALL: [Attempt; 3] = [landlock, seccomp_trap, seccomp_notify];

    #[test]
    fn a_kernel_that_has_none_of_it_is_told_by_a_no() {
        thread::spawn(|| {
            let refused = [libc::SYS_seccomp, libc::SYS_landlock_create_ruleset]
                .map(|call| (call, Vec::new()));
            let enosys = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
            let filter = SeccompFilter::new(
                refused.into_iter().collect(),
                SeccompAction::Allow,
                enosys,
                TargetArch::x86_64,
            );
            let kvm = crate::host::open_kvm().unwrap();
            let host = Host::new(&kvm).unwrap();
            apply_filter(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
            for attempt in ALL {
                assert_eq!(attempt(&host).unwrap().answer, Answer::No);
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_that_tried_it_leaves_the_others_their_rights() {
        let kvm = crate::host::open_kvm().unwrap();
        let host = Host::new(&kvm).unwrap();
        for attempt in ALL {
            attempt(&host).unwrap();
        }
        File::open("/dev/null").unwrap();
        assert!(parent_id() > 0);
    }

    #[test]
    fn an_action_that_the_kernel_does_not_know_is_not_taken_for_one_that_works() {
        assert!(seccomp::look_for(0x7fff_0001).is_err());
    }
}
