//! How a guest is entered.

/// Where the first vCPU starts, by which protocol, and where the guest finds what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// PVH: 32-bit protected mode, EBX points to the start info.
    Pvh {
        /// Physical entry point.
        entry: u32,
        /// Guest-physical address of `hvm_start_info`.
        start_info: u64,
    },
    /// Linux's 64-bit boot protocol: long mode, RSI points to the zero page.
    Linux64 {
        /// Physical entry point.
        entry: u64,
        /// Guest-physical address of `boot_params`.
        boot_params: u64,
    },
    /// Multiboot 1: 32-bit protected mode, EBX points to the information block.
    Multiboot {
        /// Physical entry point.
        entry: u32,
        /// Guest-physical address of the information block.
        info: u32,
    },
}
