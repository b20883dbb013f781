//! The CPUs' APIC IDs from ACPI's MADT (ACPI 6.5, 5.2.12).

#[repr(C, packed)]
struct Header {
    signature: [u8; 4],
    length: u32,
    rest: [u8; 28],
}

const LOCAL_APIC: u8 = 0;
const LOCAL_X2APIC: u8 = 9;
const ENABLED: u32 = 1;

fn read_u32(gpa: u64) -> u32 {
    // SAFETY: firmware tables below 4 GiB are identity mapped; unaligned reads are stated.
    unsafe { (gpa as usize as *const u32).read_unaligned() }
}

fn read_u64(gpa: u64) -> u64 {
    u64::from(read_u32(gpa)) | u64::from(read_u32(gpa + 4)) << 32
}

fn read_u8(gpa: u64) -> u8 {
    // SAFETY: as above. Volatile: what is below 1 MiB need not be memory.
    unsafe { (gpa as usize as *const u8).read_volatile() }
}

/// The RSDP's address, where firmware leaves it below 1 MiB; 0 if it is not there.
pub(crate) fn find_rsdp() -> u64 {
    guest_payload::rsdp::find(read_u8).unwrap_or(0)
}

fn header_length(gpa: u64) -> u64 {
    u64::from(read_u32(gpa + core::mem::offset_of!(Header, length) as u64))
}

/// The MADT's address, by way of the XSDT or else the RSDT.
fn find_madt(rsdp: u64) -> Option<u64> {
    const ENTRIES: u64 = size_of::<Header>() as u64;
    let xsdt = if read_u8(rsdp + 15) >= 2 {
        read_u64(rsdp + 24)
    } else {
        0
    };
    let (root, width) = if xsdt != 0 {
        (xsdt, 8)
    } else {
        (u64::from(read_u32(rsdp + 16)), 4)
    };
    let end = root + header_length(root);
    let mut at = root + ENTRIES;
    while at + width <= end {
        let table = if width == 8 {
            read_u64(at)
        } else {
            u64::from(read_u32(at))
        };
        if read_u32(table) == u32::from_le_bytes(*b"APIC") {
            return Some(table);
        }
        at += width;
    }
    None
}

/// Calls `found` with the APIC ID of each enabled CPU.
pub(crate) fn for_each_cpu(rsdp: u64, mut found: impl FnMut(u32)) {
    let Some(madt) = (rsdp != 0).then(|| find_madt(rsdp)).flatten() else {
        return;
    };
    let end = madt + header_length(madt);
    let mut at = madt + 44;
    while at + 2 <= end {
        let (kind, length) = (read_u8(at), u64::from(read_u8(at + 1)));
        match kind {
            LOCAL_APIC if read_u32(at + 4) & ENABLED != 0 => found(u32::from(read_u8(at + 3))),
            LOCAL_X2APIC if read_u32(at + 8) & ENABLED != 0 => found(read_u32(at + 4)),
            _ => {}
        }
        if length < 2 {
            return;
        }
        at += length;
    }
}
