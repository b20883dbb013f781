//! Operations that need files or sockets are done by threads of their own. A thread that reads what
//! a client sends then needs neither.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread::{Builder, Scope};

use super::operations::{Operations, Refusal, RefusalKind};
use super::types::{
    MigrateDone, MigrateRequest, OperationKind, SnapshotDone, SnapshotRequest, Stats, Status,
};
use crate::sandbox::{Role, Sandbox};

/// What is asked for, and where the answer goes.
type Errand<Q, A> = (Q, Sender<Result<A, Refusal>>);

/// Where errands of one kind are asked for; nobody runs them before there is a thread, or after it
/// has been told to go.
type Desk<Q, A> = Mutex<Option<Sender<Errand<Q, A>>>>;

/// [`Operations`] of which two are done by a thread each.
pub struct Errands<'a> {
    operations: &'a dyn Operations,
    snapshot: Desk<SnapshotRequest, SnapshotDone>,
    migrate: Desk<MigrateRequest, MigrateDone>,
}

impl std::fmt::Debug for Errands<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Errands").finish_non_exhaustive()
    }
}

/// Has it done, and waits. The desk stays locked meanwhile: there is one errand of a kind at a time.
fn ask<Q, A>(desk: &Desk<Q, A>, kind: OperationKind, request: Q) -> Result<A, Refusal> {
    let gone = || Refusal::new(RefusalKind::Gone, "the machine has come to its end");
    let desk = match desk.try_lock() {
        Ok(desk) => desk,
        Err(TryLockError::Poisoned(desk)) => desk.into_inner(),
        Err(TryLockError::WouldBlock) => {
            let message = format!("{kind} is under way; wait for its end");
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
    };
    let (answer, answered) = channel();
    let thread = desk.as_ref().ok_or_else(gone)?;
    thread.send((request, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// Starts the thread that does what is asked for at `desk`, one errand after the other.
fn open<'scope, Q, A>(
    desk: &Desk<Q, A>,
    scope: &'scope Scope<'scope, '_>,
    sandbox: &Sandbox,
    role: Role,
    operation: impl Fn(&Q) -> Result<A, Refusal> + Send + 'scope,
) -> io::Result<()>
where
    Q: Send + 'scope,
    A: Send + 'scope,
{
    let (asks, errands) = channel::<Errand<Q, A>>();
    let sandbox = sandbox.clone();
    Builder::new()
        .name(role.name().to_owned())
        .spawn_scoped(scope, move || {
            sandbox.enter(role);
            for (request, answer) in errands {
                // Fails where nobody waits any more.
                let _ = answer.send(operation(&request));
            }
        })?;
    *desk.lock().unwrap_or_else(PoisonError::into_inner) = Some(asks);
    Ok(())
}

impl<'a> Errands<'a> {
    /// Of `operations`, without threads yet.
    pub fn of(operations: &'a dyn Operations) -> Self {
        Self {
            operations,
            snapshot: Mutex::default(),
            migrate: Mutex::default(),
        }
    }

    /// Starts the threads, until [`Self::close`].
    ///
    /// # Errors
    /// No thread.
    pub fn start<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        sandbox: &Sandbox,
    ) -> io::Result<()>
    where
        'a: 'scope,
    {
        let operations = self.operations;
        open(&self.snapshot, scope, sandbox, Role::Snapshot, |request| {
            operations.snapshot(request)
        })?;
        open(&self.migrate, scope, sandbox, Role::Migration, |request| {
            operations.migrate(request)
        })
    }

    /// Takes no further errands, once those under way are done. The threads end.
    pub fn close(&self) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.migrate.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Operations for Errands<'_> {
    fn status(&self) -> Status {
        self.operations.status()
    }

    fn stats(&self) -> Stats {
        self.operations.stats()
    }

    fn pause(&self) -> Result<(), Refusal> {
        self.operations.pause()
    }

    fn resume(&self) -> Result<(), Refusal> {
        self.operations.resume()
    }

    fn stop(&self) -> Result<(), Refusal> {
        self.operations.stop()
    }

    fn snapshot(&self, request: &SnapshotRequest) -> Result<SnapshotDone, Refusal> {
        ask(&self.snapshot, OperationKind::Snapshot, request.clone())
    }

    fn migrate(&self, request: &MigrateRequest) -> Result<MigrateDone, Refusal> {
        ask(&self.migrate, OperationKind::Migrate, request.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::control::Then;
    use crate::control::fake::Fake;

    fn request() -> SnapshotRequest {
        SnapshotRequest {
            file: "/a.vmm".into(),
            then: Then::Resume,
        }
    }

    #[test]
    fn a_second_snapshot_is_refused_while_the_first_is_under_way() {
        let fake = Fake::default();
        fake.hold();
        let errands = Errands::of(&fake);
        let request = request();
        thread::scope(|scope| {
            errands.start(scope, &Sandbox::off()).unwrap();
            let first = scope.spawn(|| errands.snapshot(&request));
            fake.wait_for_held(1);
            let second = errands.snapshot(&request).unwrap_err();
            assert_eq!(second.kind, RefusalKind::Conflict, "{second:?}");
            fake.let_go();
            first.join().unwrap().unwrap();
            errands.snapshot(&request).unwrap();
            errands.close();
        });
        let late = errands.snapshot(&request).unwrap_err();
        assert_eq!(late.kind, RefusalKind::Gone, "{late:?}");
    }

    #[test]
    fn nothing_is_done_before_there_are_threads() {
        let fake = Fake::default();
        let errands = Errands::of(&fake);
        let refused = errands.snapshot(&request()).unwrap_err();
        assert_eq!(refused.kind, RefusalKind::Gone, "{refused:?}");
        assert_eq!(fake.asked(), Vec::<&str>::new());
    }
}
