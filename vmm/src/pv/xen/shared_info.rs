//! The shared info page: the bitmaps of the 2-level event channel ABI in guest memory, where guest
//! and VMM change them by atomic instructions alone.

use std::mem::offset_of;
use std::sync::atomic::{
    AtomicU8, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use std::sync::{Arc, Mutex, PoisonError};

use guest_payload::abi::xen::{EVENT_PORTS, SHARED_VCPUS, SharedInfo, VcpuInfo};
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, VolatileMemory, VolatileSlice,
};

use super::channels::Port;
use crate::memory::{OwnWrites, PAGE_BYTES};
use crate::pv::apic_id::VcpuIndex;

const PAGE: usize = 4096;
/// No guest-physical address of a page.
const NOWHERE: u64 = u64::MAX;

/// There is no RAM, or no shared info page yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMapped;

/// What setting an event's bit met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It was clear.
    IsNew,
    /// It was set.
    WasPending,
}

/// The page, once the guest has said where it is to be.
#[derive(Debug)]
pub(super) struct SharedInfoPage {
    memory: GuestMemoryMmap,
    own_writes: Arc<OwnWrites>,
    /// Its guest-physical address, or [`NOWHERE`].
    at: AtomicU64,
    /// Held while it moves.
    moving: Mutex<()>,
}

impl SharedInfoPage {
    pub(super) fn new(memory: GuestMemoryMmap, own_writes: Arc<OwnWrites>) -> Self {
        Self {
            memory,
            own_writes,
            at: AtomicU64::new(NOWHERE),
            moving: Mutex::new(()),
        }
    }

    /// Where it is.
    pub(super) fn address(&self) -> Option<u64> {
        // Acquire: pairs with the Release in `place_at`; its content is there.
        Some(self.at.load(Acquire)).filter(|&at| at != NOWHERE)
    }

    pub(super) fn is_mapped(&self) -> bool {
        self.address().is_some()
    }

    /// Puts it at `page`, with its content: zeros at first, then what it had where it was. The
    /// ports whose events came to the old place meanwhile: the caller has to send them again.
    pub(super) fn map_at(&self, page: u64) -> Result<Vec<Port>, NotMapped> {
        self.map_while(page, || {})
    }

    /// `meanwhile` runs between the copy and the move.
    fn map_while(&self, page: u64, meanwhile: impl FnOnce()) -> Result<Vec<Port>, NotMapped> {
        let _alone = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.address();
        let mut content = [0; PAGE];
        match old {
            Some(at) if at == page => return Ok(Vec::new()),
            Some(at) => self.read_page(at, &mut content)?,
            None => {}
        }
        self.write_page(page, &content)?;
        meanwhile();
        self.place_at(page)?;
        let Some(old) = old else {
            return Ok(Vec::new());
        };
        // Pairs with the fence in `set_pending`: whoever sets a bit in the old page too late for
        // the look below sees that the page has moved.
        fence(SeqCst);
        let mut now = [0; PAGE];
        self.read_page(old, &mut now)?;
        Ok((0..EVENT_PORTS)
            .filter_map(Port::new)
            .filter(|&port| is_set(&now, port) && !is_set(&content, port))
            .collect())
    }

    fn read_page(&self, at: u64, content: &mut [u8; PAGE]) -> Result<(), NotMapped> {
        self.memory
            .read_slice(content, GuestAddress(at))
            .map_err(|_| NotMapped)
    }

    /// It is at `page`, with the content that it has there.
    pub(super) fn place_at(&self, page: u64) -> Result<(), NotMapped> {
        self.page_at(page)?;
        self.at.store(page, Release);
        Ok(())
    }

    /// Writes a page of the guest's.
    pub(super) fn write_page(&self, page: u64, content: &[u8; PAGE]) -> Result<(), NotMapped> {
        self.page_at(page)?;
        self.memory
            .write_slice(content, GuestAddress(page))
            .map_err(|_| NotMapped)?;
        self.own_writes.note(page);
        Ok(())
    }

    /// Sets the bit of `port`, which is bound to `vcpu`: in the order of Xen's
    /// `evtchn_2l_set_pending`.
    pub(super) fn set_pending(&self, port: Port, vcpu: VcpuIndex) -> Result<Event, NotMapped> {
        let mut at = self.address().ok_or(NotMapped)?;
        loop {
            let event = self.set_pending_at(at, port, vcpu)?;
            // Pairs with the fence in `map_while`.
            fence(SeqCst);
            let now = self.address().ok_or(NotMapped)?;
            if now == at {
                return Ok(event);
            }
            at = now;
        }
    }

    fn set_pending_at(&self, at: u64, port: Port, vcpu: VcpuIndex) -> Result<Event, NotMapped> {
        let page = self.page_at(at)?;
        // SeqCst here and below: Xen's are locked instructions, full barriers all of them.
        let before = pending_word(&page, port)?.fetch_or(port.bit(), SeqCst);
        if before & port.bit() != 0 {
            return Ok(Event::WasPending);
        }
        if mask_word(&page, port)?.load(SeqCst) & port.bit() == 0 {
            mark_upcall(&page, port, vcpu);
        }
        self.own_writes.note(at);
        Ok(Event::IsNew)
    }

    /// Clears the bit of `port`.
    pub(super) fn clear_pending(&self, port: Port) -> Result<(), NotMapped> {
        let at = self.address().ok_or(NotMapped)?;
        pending_word(&self.page_at(at)?, port)?.fetch_and(!port.bit(), SeqCst);
        self.own_writes.note(at);
        Ok(())
    }

    /// Clears the mask of `port`; an event that was pending counts from now on.
    pub(super) fn unmask(&self, port: Port, vcpu: VcpuIndex) -> Result<(), NotMapped> {
        let at = self.address().ok_or(NotMapped)?;
        let page = self.page_at(at)?;
        let before = mask_word(&page, port)?.fetch_and(!port.bit(), SeqCst);
        let is_pending = pending_word(&page, port)?.load(SeqCst) & port.bit() != 0;
        if before & port.bit() != 0 && is_pending {
            mark_upcall(&page, port, vcpu);
        }
        self.own_writes.note(at);
        Ok(())
    }

    /// Whether the bit of `port` is set; the barrier is the caller's.
    pub(super) fn is_pending(&self, port: Port) -> bool {
        let word = || {
            let page = self.page_at(self.address().ok_or(NotMapped)?)?;
            Ok::<_, NotMapped>(pending_word(&page, port)?.load(Relaxed))
        };
        word().is_ok_and(|word| word & port.bit() != 0)
    }

    fn page_at(&self, page: u64) -> Result<VolatileSlice<'_>, NotMapped> {
        if !page.is_multiple_of(PAGE_BYTES) {
            return Err(NotMapped);
        }
        self.memory
            .get_slice(GuestAddress(page), PAGE)
            .map_err(|_| NotMapped)
    }
}

/// Whether the event of `port` is pending in a copy of the page.
fn is_set(content: &[u8; PAGE], port: Port) -> bool {
    let word = usize::try_from(port.word()).unwrap_or(usize::MAX);
    let words = content.get(offset_of!(SharedInfo, evtchn_pending)..);
    let mut words = words.unwrap_or_default().chunks_exact(8);
    words
        .nth(word)
        .and_then(|bytes| bytes.try_into().ok())
        .is_some_and(|bytes| u64::from_le_bytes(bytes) & port.bit() != 0)
}

fn word_at<'p>(
    page: &'p VolatileSlice<'_>,
    bitmap: usize,
    index: u32,
) -> Result<&'p AtomicU64, NotMapped> {
    let offset = usize::try_from(index)
        .unwrap_or(usize::MAX)
        .saturating_mul(8);
    page.get_atomic_ref(bitmap.saturating_add(offset))
        .map_err(|_| NotMapped)
}

fn pending_word<'p>(page: &'p VolatileSlice<'_>, port: Port) -> Result<&'p AtomicU64, NotMapped> {
    word_at(page, offset_of!(SharedInfo, evtchn_pending), port.word())
}

fn mask_word<'p>(page: &'p VolatileSlice<'_>, port: Port) -> Result<&'p AtomicU64, NotMapped> {
    word_at(page, offset_of!(SharedInfo, evtchn_mask), port.word())
}

/// Tells `vcpu` where to look. A vCPU past those in the page has no place for it.
fn mark_upcall(page: &VolatileSlice<'_>, port: Port, vcpu: VcpuIndex) {
    let Some(index) = usize::try_from(vcpu.0).ok().filter(|&at| at < SHARED_VCPUS) else {
        return;
    };
    let info = index * size_of::<VcpuInfo>();
    let selector =
        page.get_atomic_ref::<AtomicU64>(info + offset_of!(VcpuInfo, evtchn_pending_sel));
    let upcall =
        page.get_atomic_ref::<AtomicU8>(info + offset_of!(VcpuInfo, evtchn_upcall_pending));
    if let (Ok(selector), Ok(upcall)) = (selector, upcall) {
        let bit = 1 << port.word();
        if selector.fetch_or(bit, SeqCst) & bit == 0 {
            upcall.store(1, SeqCst);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::memory::{MemorySize, map};

    #[test]
    fn an_event_that_comes_while_the_page_moves_is_told() {
        let memory = map(MemorySize::from_mib(2)).unwrap();
        let info = SharedInfoPage::new(memory, Arc::default());
        let [early, late] = [70, 4095].map(|number| Port::new(number).unwrap());
        assert_eq!(info.map_at(0x1000), Ok(Vec::new()));
        info.set_pending(early, VcpuIndex(0)).unwrap();
        let missed = info.map_while(0x2000, || {
            info.set_pending(late, VcpuIndex(0)).unwrap();
        });
        assert_eq!(missed, Ok(vec![late]));
        assert!(info.is_pending(early));
        assert_eq!(info.set_pending(late, VcpuIndex(0)), Ok(Event::IsNew));
    }
}
