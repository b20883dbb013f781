//! Segments: one GDT and TSS per CPU, so that CPL 3 can enter CPL 0 on a stack of its own.

use core::arch::asm;

/// 64-bit code at CPL 0.
pub(crate) const KERNEL_CODE: u16 = 0x08;
/// Data at CPL 0.
pub(crate) const KERNEL_DATA: u16 = 0x10;
/// Data at CPL 3, RPL 3.
pub(crate) const USER_DATA: u16 = 0x18 | 3;
/// 64-bit code at CPL 3, RPL 3.
pub(crate) const USER_CODE: u16 = 0x20 | 3;
/// 32-bit code at CPL 0.
pub(crate) const KERNEL_CODE_32: u16 = 0x28;
const TSS_SELECTOR: u16 = 0x30;

/// Segments and task state of one CPU.
#[repr(C, align(16))]
pub(crate) struct Segments {
    gdt: [u64; 8],
    tss: Tss,
}

/// 64-bit TSS with an I/O permission bitmap (SDM vol. 3, 8.7; vol. 1, 19.5.2). The bitmap opens
/// the ports below 0x400 to CPL 3 where IOPL does not: some emulated IRETQ leave IOPL alone.
#[repr(C)]
struct Tss {
    fields: [u32; 26],
    /// One bit a port, 0 for allowed.
    io_bitmap: [u8; IO_PORTS / 8],
    /// The processor reads two bytes at a time; the last must be all ones.
    end: u32,
}

const IO_PORTS: usize = 0x400;
const IO_BITMAP_OFFSET: u32 = core::mem::offset_of!(Tss, io_bitmap) as u32;

#[repr(C, packed)]
pub(crate) struct TableRegister {
    pub(crate) limit: u16,
    pub(crate) base: u64,
}

impl Segments {
    /// Offset of the address of the stack on which CPL 0 is entered.
    pub(crate) const RSP0_OFFSET: u64 =
        (core::mem::offset_of!(Self, tss) + core::mem::offset_of!(Tss, fields) + 4) as u64;

    /// Fills the tables and loads them on this CPU; CPL 0 is entered on `kernel_stack_top`.
    pub(crate) fn load(&mut self, kernel_stack_top: u64) {
        let tss = core::ptr::addr_of!(self.tss) as u64;
        let limit = (size_of::<Tss>() - 1) as u64;
        self.gdt[1] = 0x00af_9b00_0000_ffff;
        self.gdt[2] = 0x00cf_9300_0000_ffff;
        self.gdt[3] = 0x00cf_f300_0000_ffff;
        self.gdt[4] = 0x00af_fb00_0000_ffff;
        self.gdt[5] = 0x00cf_9b00_0000_ffff;
        self.gdt[6] = limit | (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56;
        self.gdt[7] = tss >> 32;
        self.tss.fields[1] = kernel_stack_top as u32;
        self.tss.fields[2] = (kernel_stack_top >> 32) as u32;
        self.tss.fields[25] = IO_BITMAP_OFFSET << 16;
        self.tss.end = u32::MAX;
        let register = TableRegister {
            limit: (size_of_val(&self.gdt) - 1) as u16,
            base: self.gdt.as_ptr() as u64,
        };
        // SAFETY: the table lives as long as the machine, and selectors 8 and 0x10, which are
        // loaded already, mean the same in it as in the boot GDT.
        unsafe {
            asm!("lgdt [{}]", in(reg) &raw const register, options(nostack, preserves_flags));
            asm!("ltr {:x}", in(reg) TSS_SELECTOR, options(nostack, preserves_flags));
        }
    }
}
