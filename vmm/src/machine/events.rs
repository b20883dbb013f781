//! The main loop: waits for the guest's end, the user's, or the watchdog's.

use std::fs::File;
use std::io::Read;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::timerfd::TimerFd;

use super::Machine;
use super::watchdog::{Finding, Watchdog};
use crate::os::signal;
use crate::report::hang::HangReport;
use crate::report::progress::{Progress, SoFar};
use crate::spec::WATCH_INTERVAL;
use crate::vcpu::board::Ending;
use std::sync::PoisonError;

/// Why a run is over.
#[derive(Debug)]
pub enum End {
    /// From inside.
    Guest(Ending),
    /// The user's time limit.
    Timeout,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// No vCPU will ever make progress.
    Hung(HangReport),
}

/// What a finished run was.
#[derive(Debug)]
pub struct Finished {
    /// Why it is over.
    pub end: End,
    /// From the first instruction to the end.
    pub elapsed: Duration,
}

/// Something else that the loop listens to.
pub trait Door {
    /// Readable when somebody is at the door.
    fn bell(&self) -> RawFd;
    /// Lets them in. Must not wait for them.
    fn open(&mut self);
}

/// Why the loop cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Descriptors for timers and signals.
    #[error("the main loop cannot be set up")]
    System(#[from] std::io::Error),
    /// A timer.
    #[error("the main loop's timer cannot be set up")]
    Timer(#[from] vmm_sys_util::errno::Error),
    /// epoll.
    #[error("the main loop failed: {0}")]
    Events(event_manager::Error),
}

const ENDED: u32 = 0;
const SIGNAL: u32 = 1;
const TICK: u32 = 2;
const TIMEOUT: u32 = 3;
const DOOR: u32 = 4;

struct Loop<'a> {
    machine: &'a Machine,
    signals: File,
    tick: TimerFd,
    timeout: Option<TimerFd>,
    watchdog: Watchdog,
    progress: &'a mut Progress,
    door: Option<&'a mut (dyn Door + 'a)>,
    end: Option<End>,
}

/// Waits for the end of a machine that has been started. `signals` comes from [`signals`].
///
/// # Errors
/// [`Error`].
pub fn run<'a>(
    machine: &'a Machine,
    signals: File,
    timeout: Option<Duration>,
    progress: &'a mut Progress,
    door: Option<&'a mut (dyn Door + 'a)>,
) -> Result<Finished, Error> {
    let mut tick = TimerFd::new()?;
    tick.reset(WATCH_INTERVAL, Some(WATCH_INTERVAL))?;
    let timeout = timeout
        .map(|after| {
            let mut timer = TimerFd::new()?;
            timer.reset(after, None)?;
            Ok::<_, Error>(timer)
        })
        .transpose()?;
    let start = Instant::now();
    let end = {
        let mut events = EventManager::<Loop<'_>>::new().map_err(Error::Events)?;
        let id = events.add_subscriber(Loop {
            machine,
            signals,
            tick,
            timeout,
            watchdog: Watchdog::new(start, machine.patience),
            progress,
            door,
            end: None,
        });
        loop {
            events.run().map_err(Error::Events)?;
            let subscriber = events.subscriber_mut(id).map_err(Error::Events)?;
            if let Some(end) = subscriber.end.take() {
                break end;
            }
        }
    };
    Ok(Finished {
        end,
        elapsed: start.elapsed(),
    })
}

impl MutEventSubscriber for Loop<'_> {
    fn init(&mut self, ops: &mut EventOps) {
        let sources = [
            Events::with_data(&self.machine.board.ended, ENDED, EventSet::IN),
            Events::with_data(&self.signals, SIGNAL, EventSet::IN),
            Events::with_data(&self.tick, TICK, EventSet::IN),
        ];
        let timeout = self
            .timeout
            .as_ref()
            .map(|timer| Events::with_data(timer, TIMEOUT, EventSet::IN));
        let door = self
            .door
            .as_ref()
            .map(|door| Events::with_data_raw(door.bell(), DOOR, EventSet::IN));
        for source in sources.into_iter().chain(timeout).chain(door) {
            // Fails for a descriptor that is closed or there twice; these are neither.
            let _ = ops.add(source);
        }
    }

    fn process(&mut self, events: Events, _: &mut EventOps) {
        match events.data() {
            ENDED => {
                let ending = self
                    .machine
                    .board
                    .ending
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                self.end = ending.map(End::Guest).or(self.end.take());
            }
            SIGNAL => {
                let mut info = [0; size_of::<libc::signalfd_siginfo>()];
                let _ = self.signals.read(&mut info);
                self.end_with(End::Interrupted);
            }
            TIMEOUT => self.end_with(End::Timeout),
            DOOR => {
                if let Some(door) = &mut self.door {
                    door.open();
                }
            }
            _ => {
                let _ = self.tick.wait();
                self.look();
            }
        }
    }
}

impl Loop<'_> {
    fn look(&mut self) {
        let (finding, acquisitions) = self.watchdog.look(self.machine);
        self.progress.update(SoFar {
            acquisitions,
            kicks: self
                .machine
                .board
                .kick
                .stats()
                .handled
                .load(std::sync::atomic::Ordering::Relaxed),
        });
        if let Finding::Hung(report) = finding {
            self.end_with(End::Hung(report));
        }
    }

    /// Ends the run from outside, unless the guest has ended it: what it found then counts.
    fn end_with(&mut self, end: End) {
        if !self.machine.board.has_ended() {
            self.end.get_or_insert(end);
        }
    }
}

/// Blocks the signals that end a run and makes them readable.
///
/// # Errors
/// [`Error::System`].
pub fn signals() -> Result<File, Error> {
    Ok(signal::end_signals()?)
}
