//! Making KVM look up a page of guest memory anew.

use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::PAGE_BYTES;

/// Makes KVM drop what it knows of the page at `gpa`, as when the host moves it; the contents stay.
/// An address that is no page of `memory` is left alone.
///
/// Between the two calls the host cannot write the page: a write by KVM then fails as it may for
/// any page, and this process writes no memory of a running guest.
pub fn forget_page(memory: &GuestMemoryMmap, gpa: GuestAddress) {
    let page = GuestAddress(gpa.0 & !(PAGE_BYTES - 1));
    let Ok(bytes) = usize::try_from(PAGE_BYTES) else {
        return;
    };
    let Ok(slice) = memory.get_slice(page, bytes) else {
        return;
    };
    let host = slice.ptr_guard_mut();
    for protection in [libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE] {
        // SAFETY: the page lies in a mapping of `memory`, which the slice keeps alive, and stays
        // readable; it is writable again before this returns.
        unsafe { libc::mprotect(host.as_ptr().cast(), bytes, protection) };
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::Bytes;

    use super::*;
    use crate::memory::{MemorySize, map};

    #[test]
    fn the_page_keeps_its_contents_and_can_be_written_again() {
        let memory = map(MemorySize::from_mib(2)).unwrap();
        let at = GuestAddress(0x5008);
        memory.write_obj(7_u64, at).unwrap();
        forget_page(&memory, at);
        assert_eq!(memory.read_obj::<u64>(at).unwrap(), 7);
        memory.write_obj(8_u64, at).unwrap();
        assert_eq!(memory.read_obj::<u64>(at).unwrap(), 8);
    }

    #[test]
    fn an_address_without_memory_is_left_alone() {
        let memory = map(MemorySize::from_mib(2)).unwrap();
        for gpa in [2 << 20, 0xff00_0000, u64::MAX] {
            forget_page(&memory, GuestAddress(gpa));
        }
    }
}
