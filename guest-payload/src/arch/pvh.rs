//! What a PVH loader hands over (Xen `docs/misc/pvh.pandoc`, `xen/arch-x86/hvm/start_info.h`).

use super::acpi;

/// `hvm_start_info`, as far as we read it.
#[repr(C)]
pub(crate) struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules_gpa: u64,
    cmdline_gpa: u64,
    rsdp_gpa: u64,
    memory_map_gpa: u64,
    memory_map_entries: u32,
}

#[repr(C)]
struct MemoryMapEntry {
    addr: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

const MAGIC: u32 = 0x336e_c578;
const MEMORY_KIND_RAM: u32 = 1;
const CMDLINE_MAX: usize = 4096;

impl StartInfo {
    /// The structure at `gpa`, if it is one.
    pub(crate) fn at(gpa: u32) -> Option<&'static Self> {
        // SAFETY: the loader passed this address; memory below 4 GiB is identity mapped.
        let info = unsafe { &*(gpa as usize as *const Self) };
        (info.magic == MAGIC).then_some(info)
    }

    /// The command line, empty where there is none or it is not ASCII.
    pub(crate) fn cmdline(&self) -> &'static str {
        if self.cmdline_gpa == 0 {
            return "";
        }
        let start = self.cmdline_gpa as usize as *const u8;
        let mut length = 0;
        // SAFETY: a NUL-terminated string of the loader's, identity mapped; bounded all the same.
        while length < CMDLINE_MAX && unsafe { *start.add(length) } != 0 {
            length += 1;
        }
        // SAFETY: the loop above read these bytes.
        let bytes = unsafe { core::slice::from_raw_parts(start, length) };
        core::str::from_utf8(bytes).unwrap_or("")
    }

    /// Where ACPI begins, 0 if nowhere: not every loader says.
    pub(crate) fn rsdp(&self) -> u64 {
        match self.rsdp_gpa {
            0 => acpi::find_rsdp(),
            rsdp => rsdp,
        }
    }

    /// End of the RAM that holds `address`, capped at 3 GiB where the identity map for CPL 3 ends.
    pub(crate) fn ram_end(&self, address: u64) -> u64 {
        const CAP: u64 = 3 << 30;
        if self.version == 0 || self.memory_map_gpa == 0 {
            return CAP;
        }
        // SAFETY: version 1 and above have the map; the loader says how many entries there are.
        let map = unsafe {
            core::slice::from_raw_parts(
                self.memory_map_gpa as usize as *const MemoryMapEntry,
                self.memory_map_entries as usize,
            )
        };
        for entry in map {
            let end = entry.addr + entry.size;
            if entry.kind == MEMORY_KIND_RAM && entry.addr <= address && address < end {
                return end.min(CAP);
            }
        }
        0
    }
}
