//! The main loop: waits for the guest's end, the user's, or the watchdog's.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::timerfd::TimerFd;

use super::Machine;
use super::console::{Console, Found};
use super::preempt::Preemptor;
use super::watchdog::{Finding, Watchdog};
use crate::device::serial_input::Room;
use crate::os::signal;
use crate::report::hang::HangReport;
use crate::report::progress::{Progress, SoFar};
use crate::spec::WATCH_INTERVAL;
use crate::vcpu::ending::Ending;
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
    /// Ctrl-A x on the guest's console.
    Console,
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
const PREEMPT: u32 = 4;
const INPUT: u32 = 5;
const ROOM: u32 = 6;
const LATE_KICK: u32 = 7;

/// Whether the console's input is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// It is.
    Heard,
    /// Not until the guest has room, or no more.
    Deaf,
    /// Not until a pause is over.
    AfterPause,
}

struct Loop<'a> {
    machine: &'a Machine,
    signals: File,
    tick: TimerFd,
    timeout: Option<TimerFd>,
    watchdog: Watchdog,
    preemptor: Option<Preemptor>,
    progress: &'a mut Progress,
    console: Option<Console>,
    input: Input,
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
    console: Option<Console>,
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
    let preemptor = machine
        .preempt
        .map(|asked| Preemptor::start(asked, &machine.board))
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
            preemptor,
            progress,
            console,
            input: Input::Deaf,
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
        let preempt = self
            .preemptor
            .as_ref()
            .map(|preemptor| Events::with_data(&preemptor.timer, PREEMPT, EventSet::IN));
        let bell = self
            .console
            .as_ref()
            .map(|console| Events::with_data_raw(console.bell(), ROOM, EventSet::IN));
        let late_kick = self
            .machine
            .board
            .kick
            .faulty()
            .map(|faulty| Events::with_data_raw(faulty.timer(), LATE_KICK, EventSet::IN));
        let optional = timeout.into_iter().chain(preempt).chain(bell);
        let optional = optional.chain(late_kick);
        for source in sources.into_iter().chain(optional) {
            // Fails for a descriptor that is closed or there twice; these are neither.
            let _ = ops.add(source);
        }
        self.listen(ops);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps) {
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
            PREEMPT => {
                if let Some(preemptor) = &mut self.preemptor {
                    preemptor.next();
                }
            }
            LATE_KICK => self.machine.board.kick.deliver_due(),
            INPUT => {
                if self.read_input() != Found::Input {
                    self.stop_listening(ops);
                }
            }
            ROOM => {
                if let Some(console) = &self.console {
                    console.hear();
                }
                self.listen(ops);
            }
            _ => {
                let _ = self.tick.wait();
                self.look();
                if self.input == Input::AfterPause && !self.machine.pauses.are_on() {
                    self.listen(ops);
                }
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

    /// Waits for input from now on.
    fn listen(&mut self, ops: &mut EventOps) {
        let Some(input) = self.console.as_ref().map(Console::input) else {
            return;
        };
        // A descriptor that is there twice is taken for a file below.
        if self.input == Input::Heard {
            return;
        }
        self.input = Input::Deaf;
        // A machine that came with its input full has none at first. The bell tells when it has.
        if self.machine.board.ports.serial.room() == Room::None {
            return;
        }
        let input = Events::with_data_raw(input, INPUT, EventSet::IN);
        // Files cannot be waited for (EPERM), because they are always ready.
        if ops.add(input).is_err() {
            while self.read_input() == Found::Input {}
        } else {
            self.input = Input::Heard;
        }
    }

    fn stop_listening(&mut self, ops: &mut EventOps) {
        if let Some(input) = self.console.as_ref().map(Console::input) {
            if self.input == Input::Heard {
                self.input = Input::Deaf;
            }
            // It was added.
            let _ = ops.remove(Events::empty_raw(input));
        }
    }

    fn read_input(&mut self) -> Found {
        let Some(console) = &mut self.console else {
            return Found::End;
        };
        let serial = &self.machine.board.ports.serial;
        // A machine that is paused may be about to go elsewhere: what is not read yet stays here
        // for whoever reads next. A person's keys are read all the same, because some are ours.
        let found = if console.is_terminal() {
            console.read(serial)
        } else {
            let read = self.machine.pauses.unless_on(|| console.read(serial));
            if read.is_none() {
                self.input = Input::AfterPause;
            }
            read.unwrap_or(Found::NoRoom)
        };
        if found == Found::Leave {
            self.end_with(End::Console);
        }
        found
    }

    /// Ends the run from outside, unless the guest has ended it: what it found then counts.
    fn end_with(&mut self, end: End) {
        let board = &self.machine.board;
        if board.stops.has_crash() {
            // A debugger looks at how the guest ended.
            board.end(Ending::Stopped);
        } else if !board.has_ended() {
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
