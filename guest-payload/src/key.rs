//! The static key of the unlock path: a 5-byte nop that boot patches to a jmp where PV is on.
//!
//! As the kernel's jump labels: the site costs one nop while the key is off, and the section
//! `.jump_table` lists every site for the code that patches. The linker script keeps that section
//! between the symbols `__jump_table_start` and `__jump_table_end`.

use crate::pv::PvLockOps;

/// The nop at a site whose key is off: `nopl 0(%rax,%rax,1)`.
pub const NOP5: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// One site, as `.jump_table` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct JumpEntry {
    /// Address of the 5-byte nop.
    pub site: u64,
    /// Address of the PV unlock.
    pub pv: u64,
    /// Address of the same, with time to spare after the release.
    pub lingering: u64,
}

/// What an unlock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlock {
    /// An unlocked add, and nobody is kicked.
    Native,
    /// The PV unlock.
    Pv,
    /// The PV unlock, which lingers between the release and what follows it: a window in which a
    /// lock that looks at itself after its release is sure to be caught.
    Lingering,
}

impl JumpEntry {
    /// The bytes that make this site do `unlock`; `None` if the target is too far away.
    pub fn patched(&self, unlock: Unlock) -> Option<[u8; 5]> {
        match unlock {
            Unlock::Native => Some(NOP5),
            Unlock::Pv => jmp_rel32(self.site, self.pv),
            Unlock::Lingering => jmp_rel32(self.site, self.lingering),
        }
    }
}

/// `jmp target` for an instruction at `site`; `None` if the target is out of a rel32's reach.
pub fn jmp_rel32(site: u64, target: u64) -> Option<[u8; 5]> {
    // The displacement counts from the end of the instruction.
    let displacement = target.wrapping_sub(site.wrapping_add(5)).cast_signed();
    let [a, b, c, d] = i32::try_from(displacement).ok()?.to_le_bytes();
    Some([0xe9, a, b, c, d])
}

/// What is patched in at the place this is inlined to.
#[cfg(guest)]
#[inline(always)]
pub(crate) fn unlock<P: PvLockOps>(_pv: &P) -> Unlock {
    // SAFETY: the site is a nop, or a jmp to one of the labels once patched; neither touches
    // registers, flags or memory.
    unsafe {
        core::arch::asm!(
            "2: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00",
            ".pushsection .jump_table, \"aw\", @progbits",
            ".quad 2b, {pv}, {lingering}",
            ".popsection",
            pv = label { return Unlock::Pv },
            lingering = label { return Unlock::Lingering },
            options(nomem, nostack, preserves_flags),
        );
    }
    Unlock::Native
}

/// What `pv` wants: nothing is patched outside the guest.
#[cfg(not(guest))]
#[inline(always)]
pub(crate) fn unlock<P: PvLockOps>(pv: &P) -> Unlock {
    if pv.is_paravirtual() {
        Unlock::Pv
    } else {
        Unlock::Native
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn the_patched_bytes_jump_forward_and_back() {
        assert_eq!(jmp_rel32(0x10_0000, 0x10_0005), Some([0xe9, 0, 0, 0, 0]));
        assert_eq!(
            jmp_rel32(0x10_0000, 0x10_0123),
            Some([0xe9, 0x1e, 0x01, 0, 0])
        );
        assert_eq!(
            jmp_rel32(0x10_0000, 0x0f_ff00),
            Some([0xe9, 0xfb, 0xfe, 0xff, 0xff])
        );
    }

    #[test]
    fn a_target_out_of_reach_is_refused() {
        let site = 0x1000;
        let farthest = site + 5 + 0x7fff_ffff;
        assert_eq!(
            jmp_rel32(site, farthest),
            Some([0xe9, 0xff, 0xff, 0xff, 0x7f])
        );
        assert_eq!(jmp_rel32(site, farthest + 1), None);
        assert_eq!(jmp_rel32(0xffff_ffff_0000_0000, 0), None);
    }

    #[test]
    fn the_top_of_the_address_space_wraps() {
        assert_eq!(jmp_rel32(u64::MAX - 4, 0), Some([0xe9, 0, 0, 0, 0]));
    }

    proptest::proptest! {
        #[test]
        fn the_cpu_would_land_on_the_target(site: u64, distance: i32) {
            let target = site.wrapping_add(5).wrapping_add_signed(distance.into());
            let bytes = jmp_rel32(site, target).unwrap();
            let read = i32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
            proptest::prop_assert_eq!(bytes[0], 0xe9);
            proptest::prop_assert_eq!(read, distance);
        }
    }
}
