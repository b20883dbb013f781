//! The side where the machine arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::arrival::Arrival;
use super::endpoint::{Endpoint, Listen};
use super::ends::Destination;
use super::error::{Error, ReceiveError};
use super::hold::{self, Decision};
use super::message::Message;
use super::options::ReceiveOptions;
use super::phase::Phase;
use super::progress::{Progress, Received, Teller};
use super::session::{Session, TargetEvent, TargetSide, TargetStep};
use super::transport::{Accept, Listener};
use super::visit::{self, Visit};
use super::wire::Wire;
use crate::error_chain::in_one_line;

/// How soon a wish to end is heard while nobody connects.
const IDLE: Duration = Duration::from_millis(100);
/// How long a source that lost RUNNING is answered, at the least.
const ANSWER: Duration = Duration::from_secs(120);

/// Waits for a machine. A Unix socket's file goes away with it.
#[derive(Debug)]
pub struct Receiver {
    accept: Box<dyn Accept>,
    address: Endpoint,
    options: ReceiveOptions,
    /// The session of the machine that runs.
    ran: Option<Session>,
}

impl Receiver {
    /// Listens. Sources may connect from now on.
    ///
    /// # Errors
    /// [`ReceiveError::Listen`]: the address is taken, may not be used, or needs TLS.
    pub fn listen(listen: &Listen, options: ReceiveOptions) -> Result<Self, ReceiveError> {
        let listener = Listener::new(listen, &options.security).map_err(ReceiveError::Listen)?;
        let address = listener.address(listen);
        Ok(Self::on(Box::new(listener), address, options))
    }

    pub(super) fn on(accept: Box<dyn Accept>, address: Endpoint, options: ReceiveOptions) -> Self {
        Self {
            accept,
            address,
            options,
            ran: None,
        }
    }

    /// Where it listens, with the port that the kernel chose.
    pub fn address(&self) -> &Endpoint {
        &self.address
    }

    /// Ends the wait, and a migration before READY, once it is true.
    #[cfg(test)]
    pub(super) fn cancel(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.options.cancel)
    }

    /// Waits for a source and takes its machine. On success `destination` runs it.
    ///
    /// # Errors
    /// On every error `destination` holds nothing and never runs; it can be called again.
    /// [`ReceiveError::Stranger`] came before any source did.
    pub fn receive(
        &mut self,
        destination: &mut dyn Destination,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Received, ReceiveError> {
        let (wire, session) = self.wait_for_source()?;
        let start = Instant::now();
        let mut arrival = Arrival {
            destination,
            tell: Teller::new(progress),
            cancel: &self.options.cancel,
            wire,
            has_machine: false,
        };
        arrival.tell.enter(Phase::Hello);
        let loaded = arrival.take();
        let event = match loaded {
            Ok(_) => TargetEvent::Loaded,
            Err(_) => TargetEvent::Fault,
        };
        match (TargetSide::Receives.on(event), loaded) {
            ((_, TargetStep::SayReady), Ok(incoming)) => {
                arrival.tell.enter(Phase::Ready);
                let Arrival {
                    destination,
                    mut tell,
                    mut wire,
                    ..
                } = arrival;
                let limit = self.options.commit_timeout;
                // A broken connection is found again when the decision is waited for.
                drop(wire.send(&Message::Ready {
                    session,
                    hold_ms: limit.as_millis().try_into().unwrap_or(u32::MAX),
                }));
                let bytes = wire.moved();
                let peer_limit = self.options.peer_timeout;
                match hold::hold(&mut *self.accept, wire, session, limit, peer_limit) {
                    Decision::Commit(mut wire) => {
                        tell.enter(Phase::Commit);
                        if let Err(why) = destination.run() {
                            let why = Error::Machine("let the machine go on", why);
                            drop(wire.send(&Message::Gone(in_one_line(&why))));
                            return Err(ReceiveError::HoldsNothing {
                                phase: Phase::Commit,
                                why,
                            });
                        }
                        self.ran = Some(session);
                        // The source asks again if this is lost.
                        drop(wire.send(&Message::Running { session }));
                        tell.enter(Phase::Done);
                        Ok(Received {
                            session,
                            rounds: incoming.rounds.saturating_sub(1),
                            bytes,
                            pages: incoming.pages,
                            seconds: start.elapsed().as_secs_f64(),
                        })
                    }
                    Decision::Drop => {
                        destination.discard();
                        Err(ReceiveError::NotCommitted {
                            session,
                            held: limit,
                        })
                    }
                }
            }
            (_, Err(why)) => Err(arrival.give_up(why)),
            (_, Ok(_)) => Err(arrival.give_up(Error::Cancelled)),
        }
    }

    /// Goes on answering a source whose acknowledgement was lost, in a thread of its own: until what
    /// it returns is dropped, or so long that no source can be asking any more.
    ///
    /// That thread does `confine` first.
    pub fn answer(self, confine: impl FnOnce() + Send + 'static) -> Answering {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let stop = Arc::clone(&stop);
            thread::Builder::new()
                .name("migrate-answer".to_owned())
                .spawn(move || {
                    confine();
                    self.answer_until(&stop)
                })
        };
        Answering {
            stop,
            // Without the thread a source that lost RUNNING cannot be told: it will say so.
            thread: thread.ok(),
        }
    }

    fn answer_until(mut self, stop: &AtomicBool) -> Self {
        let limit = self.options.peer_timeout.min(hold::VISITOR_LIMIT);
        let end = Instant::now() + ANSWER.max(self.options.commit_timeout * 2);
        while !stop.load(Relaxed) && Instant::now() < end {
            match self.accept.accept() {
                Ok(Some(channel)) => match visit::greet(&mut *self.accept, channel, limit) {
                    Visit::Commit(wire, asked) => visit::answer(wire, asked, self.ran),
                    Visit::Move(mut wire, _) => {
                        let text = "the machine that was awaited here has come".to_owned();
                        drop(wire.send(&Message::Failed(text)));
                    }
                    Visit::Silent | Visit::Stranger(_) => {}
                },
                Ok(None) => self.accept.wait(IDLE),
                // Out of descriptors, most likely.
                Err(_) => thread::sleep(IDLE),
            }
        }
        self
    }

    fn wait_for_source(&mut self) -> Result<(Wire, Session), ReceiveError> {
        loop {
            if self.options.cancel.load(Relaxed) {
                return Err(ReceiveError::Listen(Error::Cancelled));
            }
            let accepted = self.accept.accept().map_err(|error| {
                ReceiveError::Listen(Error::Listen(self.address.to_string(), error))
            })?;
            let Some(channel) = accepted else {
                self.accept.wait(IDLE);
                continue;
            };
            match visit::greet(&mut *self.accept, channel, self.options.peer_timeout) {
                Visit::Move(wire, session) => return Ok((wire, session)),
                Visit::Commit(wire, asked) => visit::answer(wire, asked, self.ran),
                Visit::Silent => {}
                Visit::Stranger(why) => return Err(ReceiveError::Stranger { why }),
            }
        }
    }
}

/// Answers sources in the background. Dropping it ends that and removes the socket's file.
#[derive(Debug)]
pub struct Answering {
    stop: Arc<AtomicBool>,
    /// The socket's file goes with what it returns.
    thread: Option<JoinHandle<Receiver>>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
