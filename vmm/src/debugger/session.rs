//! One debugger, from its first packet to its last.

use std::io;

use gdbstub::common::{Signal, Tid};
use gdbstub::stub::state_machine::GdbStubStateMachine as State;
use gdbstub::stub::{DisconnectReason, GdbStub, GdbStubError, MultiThreadStopReason};

use super::client::Client;
use super::door::Goodbye;
use super::target::{Debugged, Fatal, tid};
use crate::vcpu::stops::StopReason;

/// Packets up to this many bytes, and memory read at a time up to half of it.
const PACKET_BYTES: usize = 16 << 10;

/// What happens next, while a debugger is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It has sent something.
    Packet,
    /// A vCPU has stopped.
    Stop,
    /// The machine has ended.
    End(Goodbye),
}

/// How a debugger left.
#[derive(Debug)]
pub(super) enum Leave {
    /// By `detach`, or without a word.
    Detached,
    /// By `kill`: the machine ends.
    Killed,
    /// The machine has ended.
    Ended,
    /// It sent what is no packet, or cannot be served.
    Failed(GdbStubError<Fatal, io::Error>),
}

/// Serves `client` until it leaves. `wait` waits for what happens next.
pub(super) fn serve(
    client: Client,
    target: &mut Debugged<'_>,
    mut wait: impl FnMut(&Client) -> Event,
) -> Leave {
    match drive(client, target, &mut wait) {
        Ok(leave) => leave,
        // That it has gone is no failure.
        Err(error) if error.is_connection_error() => Leave::Detached,
        Err(error) => Leave::Failed(error),
    }
}

type Driven = Result<Leave, GdbStubError<Fatal, io::Error>>;

fn drive(
    client: Client,
    target: &mut Debugged<'_>,
    wait: &mut dyn FnMut(&Client) -> Event,
) -> Driven {
    let stub = match GdbStub::builder(client)
        .packet_buffer_size(PACKET_BYTES)
        .build()
    {
        Ok(stub) => stub,
        // The buffer is the builder's own.
        Err(_) => return Ok(Leave::Detached),
    };
    let mut state = stub.run_state_machine(target)?;
    let mut input = Input::default();
    loop {
        state = match state {
            State::Disconnected(gdb) => {
                return Ok(match gdb.get_reason() {
                    DisconnectReason::Kill => Leave::Killed,
                    DisconnectReason::Disconnect => Leave::Detached,
                    DisconnectReason::TargetExited(_) | DisconnectReason::TargetTerminated(_) => {
                        Leave::Ended
                    }
                });
            }
            State::CtrlCInterrupt(gdb) => {
                // One that crosses a stop on its way is answered by that stop.
                let interrupted = (!target.is_held()).then(|| interrupt(target));
                gdb.interrupt_handled(target, interrupted)?
            }
            State::Idle(mut gdb) => match input.next(gdb.borrow_conn(), wait) {
                Next::Byte(byte) => gdb.incoming_data(target, byte)?,
                // Asked about nothing, it can be told nothing.
                Next::Event(Event::End(_)) => return Ok(Leave::Ended),
                Next::Event(_) => gdb.into(),
                Next::Gone => return Ok(Leave::Detached),
            },
            State::Running(mut gdb) => match target.next_stop() {
                Some((vcpu, reason)) => {
                    let reason = told(target, tid(vcpu), reason);
                    gdb.report_stop(target, reason)?
                }
                None => match input.next(gdb.borrow_conn(), wait) {
                    Next::Byte(byte) => gdb.incoming_data(target, byte)?,
                    Next::Event(Event::End(goodbye)) => {
                        gdb.report_stop(target, goodbye.reason())?
                    }
                    Next::Event(_) => gdb.into(),
                    Next::Gone => return Ok(Leave::Detached),
                },
            },
        };
    }
}

/// Stops all vCPUs because the debugger asks for it. A breakpoint that one of them met meanwhile
/// is met again.
fn interrupt(target: &mut Debugged<'_>) -> MultiThreadStopReason<u64> {
    target.hold();
    target.end_soft_step();
    target.machine.board.stops.forget_what_recurs();
    MultiThreadStopReason::SignalWithThread {
        tid: Tid::MIN,
        signal: Signal::SIGINT,
    }
}

/// A stop in gdb's words.
fn told(target: &Debugged<'_>, tid: Tid, reason: StopReason) -> MultiThreadStopReason<u64> {
    let signal = |signal| MultiThreadStopReason::SignalWithThread { tid, signal };
    match reason {
        StopReason::HardwareBreak => MultiThreadStopReason::HwBreak(tid),
        StopReason::SoftwareBreak => MultiThreadStopReason::SwBreak(tid),
        StopReason::Step => signal(Signal::SIGTRAP),
        StopReason::Crash => signal(Signal::SIGABRT),
        StopReason::Watch(point) => match target.points.watch(point) {
            Some((kind, addr)) => MultiThreadStopReason::Watch { tid, kind, addr },
            None => signal(Signal::SIGTRAP),
        },
    }
}

/// What has come and is not read yet.
#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    read: usize,
}

enum Next {
    Byte(u8),
    Event(Event),
    /// The debugger has closed the connection.
    Gone,
}

impl Input {
    fn next(&mut self, client: &mut Client, wait: &mut dyn FnMut(&Client) -> Event) -> Next {
        if let Some(&byte) = self.bytes.get(self.read) {
            self.read += 1;
            return Next::Byte(byte);
        }
        match wait(client) {
            Event::Packet => {
                self.bytes.resize(PACKET_BYTES, 0);
                self.read = 0;
                // A connection that is reset has gone like one that is closed.
                let received = client.receive(&mut self.bytes).unwrap_or(0);
                self.bytes.truncate(received);
                match received {
                    0 => Next::Gone,
                    _ => Next::Event(Event::Packet),
                }
            }
            event => Next::Event(event),
        }
    }
}
