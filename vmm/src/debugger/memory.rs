//! Guest memory by linear address, through the page tables of the vCPU that is asked about.

use std::sync::PoisonError;

use gdbstub::common::Tid;
use gdbstub::target::TargetError;

use super::target::{Debugged, FAULT, Fatal};
use crate::memory::PAGE_BYTES;
use crate::vcpu::Vcpu;

/// Bytes that are together in guest-physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    gpa: u64,
    bytes: usize,
}

/// Where `bytes` bytes from `start` are, as far as they are mapped.
fn pieces(start: u64, bytes: usize, mut translate: impl FnMut(u64) -> Option<u64>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut done = 0;
    while done < bytes {
        let address = start.wrapping_add(done as u64);
        let Some(gpa) = translate(address) else { break };
        let to_page_end = usize::try_from(PAGE_BYTES - address % PAGE_BYTES).unwrap_or(1);
        let bytes = to_page_end.min(bytes - done);
        pieces.push(Piece { gpa, bytes });
        done += bytes;
    }
    pieces
}

/// KVM's walk of the vCPU's page tables; the address itself where paging is off.
fn translate(vcpu: &Vcpu, address: u64) -> Option<u64> {
    let found = vcpu.fd().translate_gva(address).ok()?;
    (found.valid != 0).then_some(found.physical_address)
}

impl Debugged<'_> {
    fn pieces(&self, start: u64, bytes: usize, tid: Tid) -> Result<Vec<Piece>, TargetError<Fatal>> {
        // What ends behind the last address has no next address to go on from.
        let length = u64::try_from(bytes).map_err(|_| FAULT)?;
        start.checked_add(length).ok_or(FAULT)?;
        self.on(tid, move |vcpu| {
            pieces(start, bytes, |address| translate(vcpu, address))
        })
    }

    /// The guest-physical address of a linear one.
    pub(super) fn physical(&self, address: u64, tid: Tid) -> Result<u64, TargetError<Fatal>> {
        self.on(tid, move |vcpu| translate(vcpu, address))?
            .ok_or(FAULT)
    }

    /// Reads as much as is mapped to memory, at least a byte; what the debugger has planted is not
    /// seen.
    pub(super) fn read_memory(
        &self,
        start: u64,
        into: &mut [u8],
        tid: Tid,
    ) -> Result<usize, TargetError<Fatal>> {
        let pieces = self.pieces(start, into.len(), tid)?;
        let planted = &self.machine.planted;
        let planted = planted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = 0;
        for Piece { gpa, bytes } in pieces {
            let Some(into) = into.get_mut(done..done + bytes) else {
                break;
            };
            if planted.read(&self.machine.memory, gpa, into).is_err() {
                break;
            }
            done += bytes;
        }
        if done == 0 && !into.is_empty() {
            return Err(FAULT);
        }
        Ok(done)
    }

    /// Writes all of `bytes`, whatever the page tables say about writing.
    pub(super) fn write_memory(
        &self,
        start: u64,
        bytes: &[u8],
        tid: Tid,
    ) -> Result<(), TargetError<Fatal>> {
        let pieces = self.pieces(start, bytes.len(), tid)?;
        if pieces.iter().map(|piece| piece.bytes).sum::<usize>() != bytes.len() {
            return Err(FAULT);
        }
        let planted = &self.machine.planted;
        let mut planted = planted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = bytes;
        for piece in pieces {
            let (now, later) = rest.split_at_checked(piece.bytes).ok_or(FAULT)?;
            planted
                .write(&self.machine.memory, piece.gpa, now)
                .map_err(|_| FAULT)?;
            rest = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_pages_and_ends_where_nothing_is_mapped() {
        let map = |address: u64| match address / PAGE_BYTES {
            2 => Some(0x7000 + address % PAGE_BYTES),
            3 => Some(0x1000 + address % PAGE_BYTES),
            _ => None,
        };
        let piece = |gpa, bytes| Piece { gpa, bytes };
        assert_eq!(
            pieces(0x2ff0, 0x20, map),
            [piece(0x7ff0, 0x10), piece(0x1000, 0x10)]
        );
        assert_eq!(
            pieces(0x2ff0, 0x5000, map),
            [piece(0x7ff0, 0x10), piece(0x1000, 0x1000)]
        );
        assert_eq!(pieces(0x1fff, 2, map), []);
        assert_eq!(pieces(0x2000, 0, map), []);
    }
}
