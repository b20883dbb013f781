//! The registers a vCPU starts with: the boot processor at a PVH entry point, the others at the
//! vector of their SIPI.
//!
//! PVH: Xen's `docs/misc/pvh.pandoc`, "x86/HVM direct boot ABI". INIT and SIPI: SDM vol. 3A,
//! "Processor Modes and State After Reset" (table "IA-32 and Intel 64 Processor States Following
//! Power-up, Reset, or INIT") and "MP Initialization Protocol".

use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};

/// CR0.PE: protected mode.
pub(super) const CR0_PROTECTED: u64 = 1 << 0;
/// CR0.ET: reads as 1 on every processor since the 486.
pub(super) const CR0_EXTENSION_TYPE: u64 = 1 << 4;
/// CR0.NW and CR0.CD, which INIT leaves as they are and a reset sets.
const CR0_RESET_CACHE: u64 = 1 << 30 | 1 << 29;
/// RFLAGS bit 1 is always 1.
pub(super) const RFLAGS_RESERVED: u64 = 1 << 1;

/// Segment types (SDM vol. 3A, "Code- and Data-Segment Descriptor Types" and "System Descriptor
/// Types"). All are "accessed" or "busy", as loading them makes them.
pub(super) const CODE_EXECUTE_READ: u8 = 0xb;
pub(super) const DATA_READ_WRITE: u8 = 0x3;
pub(super) const BUSY_TSS_32: u8 = 0xb;
const LDT: u8 = 0x2;

/// General registers of the boot processor at a PVH entry point.
pub fn pvh_regs(entry: u32, start_info: u32) -> kvm_regs {
    kvm_regs {
        rip: entry.into(),
        rbx: start_info.into(),
        rflags: RFLAGS_RESERVED,
        ..Default::default()
    }
}

/// Sets the boot processor's mode for a PVH entry point: 32-bit protected mode, paging off, flat
/// segments. `sregs` comes from `KVM_GET_SREGS`; the local APIC's base in it stays.
pub fn set_pvh_sregs(sregs: &mut kvm_sregs) {
    sregs.cr0 = CR0_PROTECTED | CR0_EXTENSION_TYPE;
    sregs.cr3 = 0;
    sregs.cr4 = 0;
    sregs.efer = 0;
    // Selectors are unspecified; these are a flat GDT's usual ones. The GDT itself is the guest's
    // to set up, so its limit is 0 and a stray segment load faults.
    sregs.cs = flat(0x8, CODE_EXECUTE_READ);
    let data = flat(0x10, DATA_READ_WRITE);
    set_data_segments(sregs, data);
    sregs.tr = kvm_segment {
        selector: 0x18,
        limit: 0x67,
        type_: BUSY_TSS_32,
        present: 1,
        ..Default::default()
    };
    sregs.ldt = kvm_segment {
        unusable: 1,
        ..Default::default()
    };
    sregs.gdt = kvm_dtable::default();
    sregs.idt = kvm_dtable::default();
}

/// General registers of a vCPU that a SIPI starts. `signature` is its CPUID leaf 1 EAX, which a
/// reset leaves in EDX.
pub fn sipi_regs(signature: u32) -> kvm_regs {
    kvm_regs {
        rdx: signature.into(),
        rflags: RFLAGS_RESERVED,
        ..Default::default()
    }
}

/// Sets the mode of a vCPU that a SIPI with `vector` starts: real mode at `vector << 12`, all else
/// as after INIT. The local APIC's base in `sregs` stays.
pub fn set_sipi_sregs(sregs: &mut kvm_sregs, vector: u8) {
    sregs.cr0 = CR0_EXTENSION_TYPE | CR0_RESET_CACHE;
    sregs.cr2 = 0;
    sregs.cr3 = 0;
    sregs.cr4 = 0;
    sregs.cr8 = 0;
    sregs.efer = 0;
    sregs.cs = kvm_segment {
        base: u64::from(vector) << 12,
        selector: u16::from(vector) << 8,
        ..real(CODE_EXECUTE_READ, 1)
    };
    set_data_segments(sregs, real(DATA_READ_WRITE, 1));
    sregs.tr = real(BUSY_TSS_32, 0);
    sregs.ldt = real(LDT, 0);
    let table = kvm_dtable {
        base: 0,
        limit: 0xffff,
        padding: [0; 3],
    };
    sregs.gdt = table;
    sregs.idt = table;
}

pub(super) fn set_data_segments(sregs: &mut kvm_sregs, data: kvm_segment) {
    sregs.ds = data;
    sregs.es = data;
    sregs.fs = data;
    sregs.gs = data;
    sregs.ss = data;
}

/// A 32-bit segment from 0 to 4 GiB.
pub(super) fn flat(selector: u16, kind: u8) -> kvm_segment {
    kvm_segment {
        selector,
        limit: u32::MAX,
        type_: kind,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..Default::default()
    }
}

/// A segment from 0 to 64 KiB. `s` is 1 for code and data, 0 for system segments.
fn real(kind: u8, s: u8) -> kvm_segment {
    kvm_segment {
        limit: 0xffff,
        type_: kind,
        present: 1,
        s,
        ..Default::default()
    }
}

#[cfg(test)]
#[path = "pvh_registers_test.rs"]
mod tests;
