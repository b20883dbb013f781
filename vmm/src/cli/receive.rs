//! `vmm receive`.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::here::Here;
use super::peer::PeerArgs;
use super::restore::LoadingArgs;
use super::session::Holds;
use super::{Exit, Failure};
use crate::control::status_text;
use crate::host;
use crate::machine::arrive::{Arriving, First};
use crate::machine::pause::PausedMachine;
use crate::migrate::{
    Listen, PEER_TIMEOUT, Progress as Moved, ReceiveError, ReceiveOptions, Receiver,
};
use crate::os::readable::wait_until_readable;
use crate::os::{allocator, limits};
use crate::report::output;
use crate::report::progress::Progress;
use crate::sandbox::Role;

/// How soon a signal ends the wait for a source.
const SIGNAL_PATIENCE: Duration = Duration::from_millis(100);

/// Arguments of `vmm receive`.
#[derive(Debug, ClapArgs)]
pub struct ReceiveArgs {
    /// Where to listen: unix:PATH or tcp:HOST:PORT
    listen: Listen,

    #[command(flatten)]
    peer: PeerArgs,

    #[command(flatten)]
    loading: LoadingArgs,

    #[command(flatten)]
    here: Here,
}

/// Sets `cancel` when a signal comes, until `done`.
fn watch(signals: &File, cancel: &AtomicBool, done: &AtomicBool) {
    while !done.load(Relaxed) {
        if wait_until_readable(signals.as_fd(), SIGNAL_PATIENCE) {
            cancel.store(true, Relaxed);
            return;
        }
    }
}

/// Takes the first machine that comes. Whoever brings none is turned away.
fn take(receiver: &mut Receiver, arriving: &mut Arriving<'_>) -> Result<(), ReceiveError> {
    let mut line = Progress::start(None);
    let mut show = |moved: &Moved| line.show(status_text::arriving(moved));
    loop {
        match receiver.receive(arriving, &mut show) {
            Ok(_) => return Ok(()),
            Err(error @ ReceiveError::Stranger { .. }) => {
                let error = anyhow::Error::from(error);
                output::print_aside(format!("vmm: {error:#}\n").as_bytes());
            }
            Err(error) => return Err(error),
        }
    }
}

/// Waits for a machine, runs it to its end and reports.
///
/// # Errors
/// [`Failure`]: exit code 1 where no machine came, 2 for an address that cannot be.
pub fn run(args: &ReceiveArgs) -> Result<Exit, Failure> {
    let json = args.here.report_target()?;
    let host_side = args.here.host_side()?;
    let mut session = args.here.session(json, None)?;
    let kvm = host::open_kvm().map_err(Failure::host)?;
    limits::raise_open_files();
    allocator::use_one_arena();
    let cancel = Arc::new(AtomicBool::new(false));
    let options = ReceiveOptions {
        security: args.peer.security(),
        peer_timeout: args.peer.peer_timeout.unwrap_or(PEER_TIMEOUT),
        cancel: Arc::clone(&cancel),
        ..ReceiveOptions::default()
    };
    let mut receiver = Receiver::listen(&args.listen, options).map_err(Failure::usage)?;
    let first = if session.waits_for_debugger() {
        First::Stay
    } else {
        First::Run
    };
    let sandbox = host_side.sandbox.clone();
    let mut arriving = Arriving::new(&kvm, &host_side, args.loading.loading(), first);
    // Whoever connects is a stranger.
    sandbox.enter(Role::Arrival);
    output::print_aside(
        format!("vmm: waiting for a machine on {}\n", receiver.address()).as_bytes(),
    );
    let done = AtomicBool::new(false);
    let received = thread::scope(|scope| {
        scope.spawn(|| watch(&session.signals, &cancel, &done));
        let received = take(&mut receiver, &mut arriving);
        done.store(true, Relaxed);
        received
    });
    received.map_err(|error| Failure {
        exit: Exit::CheckFailed,
        error: error.into(),
    })?;
    // A source that lost the last word asks again.
    let _answering = receiver.answer(move || sandbox.enter(Role::Answer));
    let Some((mut machine, kicks_repaired)) = arriving.into_machine() else {
        return Err(Failure::host(anyhow::anyhow!("no machine came")));
    };
    session.kicks_repaired = kicks_repaired;
    let holds = Holds {
        debugger: (first == First::Stay).then(|| PausedMachine::who_stayed(&machine)),
        ..Holds::default()
    };
    let finished = session.run(&machine, holds)?;
    machine.stop();
    session.report(machine, finished)
}
