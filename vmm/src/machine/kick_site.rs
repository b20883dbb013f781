//! Where an unmodified Linux kicks: the `vmcall` inside `kvm_kick_cpu`.

use super::guest::LoadedGuest;

/// Linux's function around the hypercall (arch/x86/kernel/kvm.c).
pub(super) const FUNCTION: &str = "kvm_kick_cpu";

/// `vmcall` and AMD's `vmmcall`, which Linux writes over it on AMD processors. Equally long, so
/// what is put over them later does not matter.
const HYPERCALLS: [[u8; 3]; 2] = [[0x0f, 0x01, 0xc1], [0x0f, 0x01, 0xd9]];

/// Linear address of the hypercall in `guest`'s `kvm_kick_cpu`, if the image tells.
pub(super) fn find(guest: &LoadedGuest) -> Option<u64> {
    let function = guest.symbol(FUNCTION)?;
    let code = guest.code(function.address, usize::try_from(function.bytes).ok()?)?;
    Some(function.address + offset(code)?)
}

/// Whether a hypercall can be at `site`: not where `guest`'s image has something else.
pub(super) fn may_be(guest: &LoadedGuest, site: u64) -> bool {
    guest
        .code(site, HYPERCALLS[0].len())
        .is_none_or(|code| offset(code) == Some(0))
}

/// Where in `code` the first hypercall is. No instruction of the function holds these bytes inside
/// it: it moves two arguments into registers.
fn offset(code: &[u8]) -> Option<u64> {
    let at = code
        .windows(HYPERCALLS[0].len())
        .position(|bytes| HYPERCALLS.iter().any(|hypercall| hypercall == bytes))?;
    u64::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_hypercall_is_found() {
        assert_eq!(offset(b"\x31\xdb\x0f\x01\xc1\x5b\xc3"), Some(2));
        assert_eq!(offset(b"\x0f\x01\xd9"), Some(0));
        assert_eq!(offset(b"\x0f\x01"), None);
        assert_eq!(offset(b""), None);
    }
}
