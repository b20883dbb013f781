//! Boot-time patching of the static key's sites.

use guest_payload::key::{JumpEntry, Unlock};

unsafe extern "C" {
    static mut __jump_table_start: JumpEntry;
    static mut __jump_table_end: JumpEntry;
}

/// Turns every 5-byte nop of the key into a jump to `unlock`. Once, on the boot CPU, before any other runs.
pub(crate) fn enable_pv_sites(unlock: Unlock) {
    let start = &raw const __jump_table_start;
    let end = &raw const __jump_table_end;
    let mut entry = start;
    while entry < end {
        // SAFETY: the linker script brackets whole entries.
        let jump = unsafe { entry.read() };
        if let Some(code) = jump.patched(unlock) {
            // SAFETY: the site is a 5-byte nop of ours, in writable memory, and no CPU executes it
            // yet. The `iretq` or jump that leads there later serialises this CPU.
            unsafe { (jump.site as usize as *mut [u8; 5]).write_unaligned(code) };
        }
        // SAFETY: stays within the table or one past its end.
        entry = unsafe { entry.add(1) };
    }
}
