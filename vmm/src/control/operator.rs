//! What the API asks of a machine, done.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::migration;
use super::operations::{Operations, Refusal, RefusalKind};
use super::types::{
    MigrateDone, MigrateRequest, Operation, OperationKind, PayloadState, PayloadStatus,
    SnapshotDone, SnapshotRequest, State, Stats, Status, Then, VcpuState, VcpuStats,
};
use crate::error_chain::in_one_line;
use crate::host::Kind;
use crate::machine::Machine;
use crate::machine::claim::Purpose;
use crate::machine::leave::Leaving;
use crate::machine::live::LiveVcpu;
use crate::machine::load::LoadError;
use crate::machine::pause::PausedMachine;
use crate::machine::save::SaveError;
use crate::machine::saved::SavedMachine;
use crate::migrate::{self, SendError};
use crate::snapshot;
use crate::vcpu::ending::Ending;

/// Drives one machine for those who reach its API.
#[derive(Debug)]
pub struct Operator<'m> {
    machine: &'m Machine,
    host_kind: Kind,
    started: Instant,
    /// Keeps the machine still until somebody asks that it goes on.
    held: Mutex<Option<PausedMachine<'m>>>,
    kicks_repaired: u64,
    operation: Mutex<Option<Operation>>,
    /// A migration that was committed and not confirmed.
    gone_astray: Mutex<Option<SendError>>,
    cancelled: Arc<AtomicBool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one operation under way; over when dropped.
struct Busy<'a>(&'a Mutex<Option<Operation>>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}

impl<'m> Operator<'m> {
    /// For a machine whose threads have been started; `held` keeps it still.
    /// `kicks_repaired`: as in [`Status::kicks_repaired`].
    pub fn new(machine: &'m Machine, held: Option<PausedMachine<'m>>, kicks_repaired: u64) -> Self {
        Self {
            machine,
            host_kind: Kind::detect(),
            started: Instant::now(),
            held: Mutex::new(held),
            kicks_repaired,
            operation: Mutex::new(None),
            gone_astray: Mutex::new(None),
            cancelled: Arc::default(),
        }
    }

    /// Gives up what takes long and can be given up.
    pub fn cancel(&self) {
        // Relaxed: it orders nothing, it only has to arrive.
        self.cancelled.store(true, Relaxed);
    }

    /// How a migration failed after which the machine does not run here, once all connections have
    /// ended.
    pub fn gone_astray(self) -> Option<SendError> {
        let error = self.gone_astray.into_inner();
        error.unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, kind: OperationKind) -> Result<Busy<'_>, Refusal> {
        self.check_alive()?;
        let mut operation = lock(&self.operation);
        if let Some(other) = &*operation {
            let message = format!("{} is under way; wait for its end", other.kind);
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
        *operation = Some(Operation {
            kind,
            phase: "begin".to_owned(),
            round: None,
            bytes_done: 0,
            bytes_total: 0,
            rate_bytes_per_second: 0,
            dirty_bytes_per_second: None,
            expected_downtime_ns: None,
        });
        Ok(Busy(&self.operation))
    }

    fn note(&self, change: impl FnOnce(&mut Operation)) {
        if let Some(operation) = &mut *lock(&self.operation) {
            change(operation);
        }
    }

    fn state(&self, operation: Option<&Operation>) -> State {
        if self.machine.board.has_ended() {
            State::Ended
        } else if lock(&self.held).is_some() {
            State::Paused
        } else if operation.is_some_and(|now| now.kind == OperationKind::Migrate) {
            State::Migrating
        } else if self.machine.is_paused() {
            // By a debugger that has it or is waited for, or by a snapshot.
            State::Paused
        } else {
            State::Running
        }
    }

    fn check_alive(&self) -> Result<(), Refusal> {
        if self.machine.board.has_ended() {
            Err(gone())
        } else {
            Ok(())
        }
    }

    /// Sets the clocks and lets a machine go on that `paused` keeps still, if nobody else does.
    fn go_on(&self, paused: PausedMachine<'m>) -> Result<(), Refusal> {
        if lock(&self.held).is_none() {
            paused.go_on().map_err(|error| refusal_of_load(&error))?;
        }
        Ok(())
    }
}

fn being_debugged() -> Refusal {
    let message = "a debugger is attached, whose writes to memory would stay behind; detach it \
                   first";
    Refusal::new(RefusalKind::Conflict, message)
}

fn waits_for_debugger() -> Refusal {
    let message = "the guest waits for the debugger of --gdb; let one in and detach it first";
    Refusal::new(RefusalKind::Conflict, message)
}

fn gone() -> Refusal {
    Refusal::new(RefusalKind::Gone, "the machine has come to its end")
}

fn refusal_of_load(error: &LoadError) -> Refusal {
    match error {
        LoadError::Ended => gone(),
        error => Refusal::new(RefusalKind::Failed, in_one_line(error)),
    }
}

fn refusal_of_save(error: &SaveError) -> Refusal {
    match error {
        SaveError::Ended => gone(),
        error => Refusal::new(RefusalKind::Failed, in_one_line(error)),
    }
}

impl Operations for Operator<'_> {
    fn status(&self) -> Status {
        let blueprint = &self.machine.blueprint;
        let operation = lock(&self.operation).clone();
        Status {
            state: self.state(operation.as_ref()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            guest: blueprint.guest.clone(),
            vcpus: blueprint.vcpus(),
            kick: blueprint.kick_by,
            halt: blueprint.halt_in,
            memory_bytes: blueprint.memory_bytes,
            host_kind: self.host_kind,
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            kicks_repaired: self.kicks_repaired,
            payload: payload(self.machine),
            operation,
        }
    }

    fn stats(&self) -> Stats {
        let live = self.machine.live();
        let operation = lock(&self.operation).clone();
        Stats {
            state: self.state(operation.as_ref()),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            kicks: live.kicks,
            wait_ns: live.wait_ns,
            vcpus: live.vcpus.into_iter().map(VcpuStats::from).collect(),
        }
    }

    fn pause(&self) -> Result<(), Refusal> {
        self.check_alive()?;
        let mut held = lock(&self.held);
        // A migration looks at `held` once it is under way: one of the two sees the other.
        if let Some(operation) = &*lock(&self.operation)
            && operation.kind == OperationKind::Migrate
        {
            let message =
                "a migration is under way, which pauses the machine itself; wait for its end";
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
        if held.is_none() {
            *held = Some(PausedMachine::pause(self.machine));
        }
        Ok(())
    }

    fn resume(&self) -> Result<(), Refusal> {
        self.check_alive()?;
        let held = lock(&self.held).take();
        held.map_or(Ok(()), |paused| self.go_on(paused))
    }

    fn stop(&self) -> Result<(), Refusal> {
        self.check_alive()?;
        self.machine.board.end(Ending::Stopped);
        Ok(())
    }

    fn snapshot(&self, request: &SnapshotRequest) -> Result<SnapshotDone, Refusal> {
        if !request.file.is_absolute() {
            let message = format!("{}: not an absolute path", request.file.display());
            return Err(Refusal::new(RefusalKind::Invalid, message));
        }
        let _busy = self.begin(OperationKind::Snapshot)?;
        let start = Instant::now();
        let paused = PausedMachine::pause(self.machine);
        if self.machine.board.stops.has_crash() {
            let message = "the guest has crashed, which a snapshot does not hold; `continue` in the \
                           debugger ends it";
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
        let lifted = paused.lift_planted();
        let since = Instant::now();
        let failed =
            |error: &dyn std::error::Error| Refusal::new(RefusalKind::Failed, in_one_line(error));
        let written = SavedMachine::of(&paused)
            .map_err(|error| refusal_of_save(&error))
            .and_then(|saved| {
                let sections = saved.sections().map_err(|error| failed(&error))?;
                let memory = &self.machine.memory;
                self.note(|operation| operation.phase = "memory".to_owned());
                let mut progress = |progress: snapshot::Progress| {
                    let seconds = since.elapsed().as_secs_f64().max(f64::EPSILON);
                    self.note(|operation| {
                        operation.bytes_done = progress.bytes;
                        operation.bytes_total = progress.total_bytes;
                        operation.rate_bytes_per_second = rate(progress.bytes, seconds);
                    });
                };
                let written = snapshot::write(&request.file, sections, memory, &mut progress)
                    .map_err(|error| failed(&error))?;
                Ok((written, saved.state.hidden_kicks()))
            });
        drop(lifted);
        let paused_ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let then = if written.is_ok() {
            request.then
        } else {
            Then::Resume
        };
        match then {
            Then::Resume => match self.go_on(paused) {
                // It came to its end meanwhile; the file is whole all the same.
                Err(refusal) if refusal.kind == RefusalKind::Gone && written.is_ok() => {}
                gone_on => gone_on?,
            },
            Then::StayPaused => {
                lock(&self.held).get_or_insert(paused);
            }
            Then::Stop => {
                self.machine.board.end(Ending::Stopped);
                self.machine.board.ports.serial.forget_rest();
            }
        }
        let (written, hidden_kicks) = written?;
        Ok(SnapshotDone {
            file: request.file.clone(),
            file_bytes: written.file_bytes,
            data_bytes: written.data_bytes,
            seconds: start.elapsed().as_secs_f64(),
            paused_ns,
            hidden_kicks,
        })
    }

    fn migrate(&self, request: &MigrateRequest) -> Result<MigrateDone, Refusal> {
        let (target, options) = migration::asked(request, Arc::clone(&self.cancelled))?;
        let _busy = self.begin(OperationKind::Migrate)?;
        if lock(&self.held).is_some() {
            let message = "the machine is paused; `vmm resume` it first, or snapshot it";
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
        let _claim = self
            .machine
            .claim(Purpose::Migration)
            .map_err(|_| being_debugged())?;
        // Nobody else pauses it now: a pause of the API's is `held`, and a snapshot would be under
        // way.
        if self.machine.is_paused() {
            return Err(waits_for_debugger());
        }
        let mut leaving = Leaving::new(self.machine);
        let sent = migrate::send(&mut leaving, &target, &options, &mut |progress| {
            self.note(|operation| migration::note(progress, operation));
        });
        let report = sent.map_err(|error| {
            let refusal = migration::refusal(&error);
            if !error.runs_here() {
                *lock(&self.gone_astray) = Some(error);
            }
            refusal
        })?;
        Ok(migration::done(&report, leaving.hidden_kicks()))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "for people"
)]
fn rate(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 / seconds) as u64
}

impl From<LiveVcpu> for VcpuStats {
    fn from(vcpu: LiveVcpu) -> Self {
        Self {
            apic_id: vcpu.apic_id,
            state: vcpu.doing.map(VcpuState::from),
            exits: vcpu.exits,
            exits_by_reason: vcpu.exits_by_reason,
            kvm_exits: vcpu.kvm_exits,
            halts: vcpu.halts,
            kicks_sent: vcpu.kicks_sent,
            kicks_received: vcpu.kicks_received,
            acquisitions: vcpu.acquisitions,
        }
    }
}

fn payload(machine: &Machine) -> Option<PayloadStatus> {
    let view = machine.payload()?;
    let header = view.header()?;
    let counts = view.live(&header, &machine.board.ports.counter.counts());
    Some(PayloadStatus {
        state: PayloadState::from_abi(header.state),
        acquisitions: counts.acquisitions,
        halts: counts.halts,
        kicks_sent: counts.kicks_sent,
        violations: counts.violations_total,
        tsc_backwards: counts.violations.tsc_backwards,
        kvmclock_backwards: counts.violations.kvmclock_backwards,
        io_duplicated: counts.violations.io_duplicated,
        io_lost: counts.violations.io_lost,
    })
}
