//! Where vCPUs tell a debugger that they have stopped.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use vmm_sys_util::eventfd::EventFd;

use super::debug::Point;
use super::ending::Ending;
use crate::pv::apic_id::VcpuIndex;

/// Why a vCPU waits for a debugger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The instruction at a breakpoint in a debug register is next.
    HardwareBreak,
    /// An INT3 that the debugger has planted is next.
    SoftwareBreak,
    /// The instruction just done touched what this point watches.
    Watch(Point),
    /// One instruction is done.
    Step,
    /// The machine comes to its end when this vCPU goes on.
    Crash,
}

impl StopReason {
    /// Whether it would be lost if the vCPU went on without a word: what stops before an
    /// instruction stops there again.
    pub fn is_lost_if_untold(self) -> bool {
        matches!(self, Self::Watch(_) | Self::Crash)
    }
}

/// The stops that a debugger has not been told yet.
#[derive(Debug, Default)]
pub struct Stops {
    /// Relaxed: set while all vCPUs stand still, which orders it.
    attached: AtomicBool,
    queue: Mutex<VecDeque<(VcpuIndex, StopReason)>>,
    bell: OnceLock<EventFd>,
    /// How the machine ends once the debugger has looked.
    crash: Mutex<Option<Ending>>,
}

impl Stops {
    /// What becomes readable when a vCPU stops. Before anybody attaches.
    ///
    /// # Errors
    /// What eventfd says.
    pub fn bell(&self) -> io::Result<&EventFd> {
        if self.bell.get().is_none() {
            let bell = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?;
            // Whoever was first has made one that does as well.
            let _ = self.bell.set(bell);
        }
        self.bell.get().ok_or_else(|| io::Error::other("no bell"))
    }

    /// A debugger comes. While all vCPUs stand still.
    pub fn attach(&self) {
        self.attached.store(true, Relaxed);
    }

    /// It has gone, and what it was not told interests nobody. While all vCPUs stand still.
    pub fn detach(&self) {
        self.attached.store(false, Relaxed);
        self.queue().clear();
        self.silence();
    }

    /// Whether there is a debugger.
    pub fn is_attached(&self) -> bool {
        self.attached.load(Relaxed)
    }

    /// A vCPU cannot go on, which ends the machine later. The first one counts.
    pub(super) fn park(&self, crash: Ending) {
        self.crash().get_or_insert(crash);
    }

    /// Whether a vCPU has crashed and the debugger still looks at it.
    pub fn has_crash(&self) -> bool {
        self.crash().is_some()
    }

    /// What [`Self::park`] was told, for the machine's end.
    pub(super) fn take_crash(&self) -> Option<Ending> {
        self.crash().take()
    }

    fn crash(&self) -> MutexGuard<'_, Option<Ending>> {
        self.crash.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A vCPU stops.
    pub fn tell(&self, vcpu: VcpuIndex, reason: StopReason) {
        self.queue().push_back((vcpu, reason));
        if let Some(bell) = self.bell.get() {
            // The counter cannot overflow: each vCPU waits after it has told.
            let _ = bell.write(1);
        }
    }

    /// The first stop; the others are kept only if they would be lost. While all vCPUs stand still.
    pub fn take(&self) -> Option<(VcpuIndex, StopReason)> {
        let first = self.queue().pop_front();
        self.forget_what_recurs();
        first
    }

    /// Keeps only what would be lost. While all vCPUs stand still.
    pub fn forget_what_recurs(&self) {
        self.queue()
            .retain(|(_, reason)| reason.is_lost_if_untold());
        self.silence();
    }

    fn silence(&self) {
        if let Some(bell) = self.bell.get() {
            // Nothing to read where nobody has rung.
            let _ = bell.read();
        }
    }

    /// Whether there is something to tell.
    pub fn is_empty(&self) -> bool {
        self.queue().is_empty()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<(VcpuIndex, StopReason)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vcpu::debug::Span;

    #[test]
    fn what_would_happen_again_is_told_once_and_what_would_not_is_kept() {
        let stops = Stops::default();
        let watch = StopReason::Watch(Point::Write(Span::new(8, 8).unwrap()));
        let told = [
            StopReason::HardwareBreak,
            StopReason::SoftwareBreak,
            watch,
            StopReason::Step,
            StopReason::Crash,
        ];
        for (vcpu, reason) in (0..).zip(told) {
            stops.tell(VcpuIndex(vcpu), reason);
        }
        let taken: Vec<_> = std::iter::from_fn(|| stops.take()).collect();
        let expected = [
            (VcpuIndex(0), StopReason::HardwareBreak),
            (VcpuIndex(2), watch),
            (VcpuIndex(4), StopReason::Crash),
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn the_first_crash_is_kept_for_the_end() {
        let stops = Stops::default();
        assert!(!stops.has_crash());
        stops.park(Ending::DebugExit(1));
        stops.park(Ending::DebugExit(2));
        assert!(stops.has_crash());
        assert!(matches!(stops.take_crash(), Some(Ending::DebugExit(1))));
        assert!(!stops.has_crash());
    }

    #[test]
    fn the_bell_rings_until_the_stop_is_taken() {
        let stops = Stops::default();
        stops.bell().unwrap();
        stops.tell(VcpuIndex(0), StopReason::Step);
        assert_eq!(stops.bell().unwrap().read().unwrap(), 1);
        stops.tell(VcpuIndex(0), StopReason::Step);
        assert!(stops.take().is_some());
        assert!(stops.bell().unwrap().read().is_err());
    }
}
