//! Break- and watchpoints: in debug registers, and INT3s in memory.

use std::sync::{Once, PoisonError};

use gdbstub::common::Tid;
use gdbstub::target::TargetResult;
use gdbstub::target::ext::breakpoints::{
    Breakpoints, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};

use super::target::{Debugged, FAULT, INVALID};
use crate::host::debugging::Watching;
use crate::machine::Machine;
use crate::machine::planted::Owner;
use crate::report::output;
use crate::vcpu::debug::{Debugger, Point, Span, Trap};

/// What the debugger has set.
#[derive(Debug)]
pub(super) struct Points<'m> {
    machine: &'m Machine,
    hardware: Vec<Hardware>,
}

/// One of gdb's points, and the registers that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hardware {
    address: u64,
    bytes: u64,
    kind: Kind,
    points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Execute,
    Watch(WatchKind),
}

impl<'m> Points<'m> {
    pub(super) fn new(machine: &'m Machine) -> Self {
        let hardware = Vec::new();
        Self { machine, hardware }
    }

    /// For the debug registers.
    pub(super) fn hardware(&self) -> Vec<Point> {
        let points = self.hardware.iter().flat_map(|set| &set.points);
        points.copied().collect()
    }

    /// What is planted, and where.
    pub(super) fn planted(&self) -> Debugger {
        let planted = self.machine.planted.lock();
        let planted = planted.unwrap_or_else(PoisonError::into_inner);
        Debugger {
            planted: planted.addresses(),
            trap: planted.trap(),
            ..Debugger::default()
        }
    }

    /// What gdb calls the watchpoint that `point` belongs to.
    pub(super) fn watch(&self, point: Point) -> Option<(WatchKind, u64)> {
        let set = self.hardware.iter().find(|set| set.points.contains(&point));
        match set? {
            Hardware {
                kind: Kind::Watch(kind),
                address,
                ..
            } => Some((*kind, *address)),
            _ => None,
        }
    }

    /// Removes all.
    pub(super) fn remove_all(&mut self) {
        self.hardware.clear();
        let planted = self.machine.planted.lock();
        planted
            .unwrap_or_else(PoisonError::into_inner)
            .pull_all(&self.machine.memory);
    }

    /// Whether `more` fits into `free` registers with those that are set.
    fn add(&mut self, more: Hardware, free: usize) -> bool {
        if self.hardware.contains(&more) {
            return true;
        }
        let fits = self.hardware().len() + more.points.len() <= free;
        if fits {
            self.hardware.push(more);
        }
        fits
    }

    fn remove(&mut self, address: u64, bytes: u64, kind: Kind) -> bool {
        let before = self.hardware.len();
        self.hardware
            .retain(|set| (set.address, set.bytes, set.kind) != (address, bytes, kind));
        self.hardware.len() != before
    }
}

/// The spans that make up `bytes` bytes at `address`; `None` where it takes more than the
/// registers that there are.
fn spans(address: u64, bytes: u64) -> Option<Vec<Span>> {
    const REGISTERS: usize = 4;
    let end = address.checked_add(bytes)?;
    let (mut at, mut spans) = (address, Vec::new());
    while at < end {
        if spans.len() == REGISTERS {
            return None;
        }
        let fitting = |size: &u64| at.is_multiple_of(*size) && *size <= end - at;
        let size = [8, 4, 2, 1].into_iter().find(fitting)?;
        spans.push(Span::new(at, size)?);
        at += size;
    }
    (!spans.is_empty()).then_some(spans)
}

impl Debugged<'_> {
    /// Debug registers that a debugger may use; the same for all vCPUs.
    fn free_registers(&self) -> TargetResult<usize, Self> {
        self.on(Tid::MIN, |vcpu| vcpu.guest_debug().free_registers())
    }
}

impl Breakpoints for Debugged<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl Debugged<'_> {
    /// Plants a breakpoint in memory.
    fn plant(&self, address: u64, owner: Owner) -> TargetResult<(), Self> {
        // Through the tables of any vCPU that has the page: not all are in the kernel. One that has
        // not started has no tables, and would take the address for a physical one.
        let mut found = self.physical(address, Tid::MIN);
        for tid in self.threads().skip(1) {
            if found.is_ok() {
                break;
            }
            if self.registers(tid)?.has_paging() {
                found = self.physical(address, tid);
            }
        }
        let planted = &self.machine.planted;
        let mut planted = planted.lock().unwrap_or_else(PoisonError::into_inner);
        planted
            .plant(&self.machine.memory, address, found?, owner)
            .map_err(|_| FAULT)
    }

    fn pull(&self, address: u64, owner: Owner) -> bool {
        let planted = &self.machine.planted;
        let mut planted = planted.lock().unwrap_or_else(PoisonError::into_inner);
        planted.pull(&self.machine.memory, address, owner)
    }
}

impl SwBreakpoint for Debugged<'_> {
    fn add_sw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        self.plant(address, Owner::Software).map(|()| true)
    }

    fn remove_sw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.pull(address, Owner::Software))
    }
}

impl HwBreakpoint for Debugged<'_> {
    fn add_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        let free = self.free_registers()?;
        let more = Hardware {
            address,
            bytes: 1,
            kind: Kind::Execute,
            points: vec![Point::Execute(address)],
        };
        let added = self.points.add(more, free);
        if added && self.trap() == Trap::PortOut {
            // The register stops the vCPU at CPL 0 only. What is not mapped yet has to do with it.
            let _ = self.plant(address, Owner::Hardware);
        }
        Ok(added)
    }

    fn remove_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        let removed = self.points.remove(address, 1, Kind::Execute);
        if removed && self.trap() == Trap::PortOut {
            self.pull(address, Owner::Hardware);
        }
        Ok(removed)
    }
}

impl HwWatchpoint for Debugged<'_> {
    fn add_hw_watchpoint(
        &mut self,
        address: u64,
        bytes: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        if self.debugging.watching == Watching::Ignored {
            say_once_that_nothing_is_watched();
            return Ok(false);
        }
        let free = self.free_registers()?;
        let spans = spans(address, bytes).ok_or(INVALID)?;
        let point = |span| match kind {
            WatchKind::Write => Point::Write(span),
            // No register watches for reads alone.
            WatchKind::Read | WatchKind::ReadWrite => Point::Access(span),
        };
        let more = Hardware {
            address,
            bytes,
            kind: Kind::Watch(kind),
            points: spans.into_iter().map(point).collect(),
        };
        Ok(self.points.add(more, free))
    }

    fn remove_hw_watchpoint(
        &mut self,
        address: u64,
        bytes: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        Ok(self.points.remove(address, bytes, Kind::Watch(kind)))
    }
}

/// gdb itself can only say that it did not work.
fn say_once_that_nothing_is_watched() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        output::print_aside(
            b"vmm: this host's KVM has no watchpoints for a guest; `set can-use-hw-watchpoints 0` \
              has gdb step and compare instead\n",
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_watched_is_cut_into_what_registers_hold() {
        let span = |address, bytes| Span::new(address, bytes).unwrap();
        assert_eq!(spans(8, 8), Some(vec![span(8, 8)]));
        assert_eq!(spans(8, 16), Some(vec![span(8, 8), span(16, 8)]));
        assert_eq!(spans(4, 8), Some(vec![span(4, 4), span(8, 4)]));
        assert_eq!(spans(1, 4), Some(vec![span(1, 1), span(2, 2), span(4, 1)]));
        assert_eq!(spans(0, 32).unwrap().len(), 4);
        for (address, bytes) in [(0, 33), (0, u64::MAX), (u64::MAX, 1), (8, 0)] {
            assert_eq!(spans(address, bytes), None, "{address} {bytes}");
        }
    }
}
