//! Guest memory as the caller of a hypercall sees it.

use std::sync::atomic::Ordering::Relaxed;

use kvm_bindings::kvm_sregs;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::cpu::paging::{Access, LongModeTables, Mode};
use crate::memory::{OwnWrites, PAGE_BYTES};
use crate::pv::xen::{CallerMemory, Fault};

/// The linear addresses of 64-bit code.
#[derive(Debug)]
pub(super) struct LinearMemory<'a> {
    memory: &'a GuestMemoryMmap,
    own_writes: &'a OwnWrites,
    tables: LongModeTables,
    mode: Mode,
}

impl<'a> LinearMemory<'a> {
    /// Those of a vCPU with these segments and control registers.
    pub(super) fn new(
        memory: &'a GuestMemoryMmap,
        own_writes: &'a OwnWrites,
        sregs: &kvm_sregs,
    ) -> Self {
        Self {
            memory,
            own_writes,
            tables: LongModeTables::new(sregs),
            // SS.DPL is the CPL (SDM vol. 3, 26.3.1.5).
            mode: if sregs.ss.dpl == 3 {
                Mode::User
            } else {
                Mode::Supervisor
            },
        }
    }

    fn translate(&self, linear: u64, access: Access) -> Result<GuestAddress, Fault> {
        let read = |at| self.memory.load(GuestAddress(at), Relaxed).ok();
        self.tables
            .translate(linear, access, self.mode, read)
            .map(GuestAddress)
            .map_err(|_| Fault)
    }
}

/// The pieces of `bytes` bytes at `linear` that do not cross a page: address, from, to.
fn pieces(linear: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = linear.wrapping_add(u64::try_from(done).ok()?);
        let in_page = usize::try_from(PAGE_BYTES - at % PAGE_BYTES).ok()?;
        let end = bytes.min(done + in_page);
        let piece = (at, done, end);
        done = end;
        (piece.1 < piece.2).then_some(piece)
    })
}

impl CallerMemory for LinearMemory<'_> {
    fn read(&self, linear: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        for (at, from, to) in pieces(linear, bytes.len()) {
            let piece = bytes.get_mut(from..to).ok_or(Fault)?;
            let gpa = self.translate(at, Access::Read)?;
            self.memory.read_slice(piece, gpa).map_err(|_| Fault)?;
        }
        Ok(())
    }

    fn write(&self, linear: u64, bytes: &[u8]) -> Result<(), Fault> {
        for (at, from, to) in pieces(linear, bytes.len()) {
            let piece = bytes.get(from..to).ok_or(Fault)?;
            let gpa = self.translate(at, Access::Write)?;
            self.memory.write_slice(piece, gpa).map_err(|_| Fault)?;
            self.own_writes.note(gpa.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn what_crosses_a_page_comes_in_pieces() {
        let cut = |linear, bytes| pieces(linear, bytes).collect::<Vec<_>>();
        assert_eq!(cut(0x1000, 24), [(0x1000, 0, 24)]);
        assert_eq!(cut(0x1ff8, 24), [(0x1ff8, 0, 8), (0x2000, 8, 24)]);
        assert!(cut(0x1000, 0).is_empty());
        let wraps = cut(u64::MAX - 1, 4);
        assert_eq!(wraps, [(u64::MAX - 1, 0, 2), (0, 2, 4)]);
    }
}
