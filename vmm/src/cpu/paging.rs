//! From a linear address of the guest's 64-bit code to a guest-physical one, as the processor's
//! page walk does it (SDM vol. 3A, 5.5). Pure: the caller reads the tables.
//!
//! Accessed and dirty flags are not set, protection keys and SMAP are not looked at: it is a system
//! call's view of its caller's memory and no instruction's.

use kvm_bindings::kvm_sregs;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
/// Bits 12 to 51: the address in an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const CR4_LA57: u64 = 1 << 12;
const PAGE_SHIFT: u32 = 12;
const BITS_PER_LEVEL: u32 = 9;

/// What is to be done with the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Write it.
    Write,
}

/// Whose access it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// CPL 0 to 2. Writes honour the tables as under CR0.WP.
    Supervisor,
    /// CPL 3.
    User,
}

/// The walk ends without a page that allows the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMapped;

/// The page tables of 64-bit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongModeTables {
    root: u64,
    levels: u32,
}

impl LongModeTables {
    /// Those of a vCPU in 64-bit mode.
    pub fn new(sregs: &kvm_sregs) -> Self {
        Self {
            root: sregs.cr3 & ADDRESS,
            levels: if sregs.cr4 & CR4_LA57 == 0 { 4 } else { 5 },
        }
    }

    /// Where `linear` is. `read` reads an entry of the tables; `None` where no memory is.
    ///
    /// # Errors
    /// [`NotMapped`].
    pub fn translate(
        &self,
        linear: u64,
        access: Access,
        mode: Mode,
        read: impl Fn(u64) -> Option<u64>,
    ) -> Result<u64, NotMapped> {
        if !self.is_canonical(linear) {
            return Err(NotMapped);
        }
        let mut table = self.root;
        for level in (0..self.levels).rev() {
            let shift = PAGE_SHIFT + BITS_PER_LEVEL * level;
            let index = linear >> shift & ((1 << BITS_PER_LEVEL) - 1);
            let entry = read(table + 8 * index).ok_or(NotMapped)?;
            let is_allowed = entry & PRESENT != 0
                && (access == Access::Read || entry & WRITABLE != 0)
                && (mode == Mode::Supervisor || entry & USER != 0);
            if !is_allowed {
                return Err(NotMapped);
            }
            // Pages of 2 MiB and 1 GiB; the bit is reserved above and means something else below.
            let is_page = level == 0 || entry & LARGE != 0;
            if is_page && level > 2 {
                return Err(NotMapped);
            }
            if is_page {
                let offset = (1 << shift) - 1;
                return Ok(entry & ADDRESS & !offset | linear & offset);
            }
            table = entry & ADDRESS;
        }
        Err(NotMapped)
    }

    /// The bits above the ones that are translated all equal the topmost of these.
    fn is_canonical(&self, linear: u64) -> bool {
        let unused = 64 - (PAGE_SHIFT + BITS_PER_LEVEL * self.levels);
        (linear.cast_signed() << unused >> unused).cast_unsigned() == linear
    }
}

#[cfg(test)]
#[path = "paging_test.rs"]
mod tests;
