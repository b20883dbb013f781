//! What may happen to a vCPU.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// What a vCPU does, or what becomes of it.
#[derive(Arbitrary, Debug)]
pub(super) enum Exit {
    Out {
        port: u16,
        data: Vec<u8>,
    },
    KnownOut {
        port: u8,
        data: u8,
    },
    In {
        port: u16,
        bytes: u16,
    },
    KnownIn {
        port: u8,
        bytes: u8,
    },
    MmioRead {
        address: u64,
        bytes: u8,
    },
    MmioWrite {
        address: u64,
        data: Vec<u8>,
    },
    LapicWrite {
        register: u8,
        value: u32,
    },
    LapicRead {
        register: u8,
    },
    ReadMsr(u32),
    WriteMsr(u32, u64),
    KnownReadMsr(u8),
    KnownWriteMsr(u8, u64),
    Kick {
        destination: u32,
    },
    Hypercall {
        number: u64,
        a0: u64,
        a1: u64,
    },
    XenHypercall {
        number: u8,
        operation: u32,
        at: u64,
    },
    Halt,
    Spin {
        reason: u8,
    },
    Debug {
        exception: u32,
        pc: u64,
        dr6: u64,
    },
    FailEntry(u64),
    Hlt,
    Intr,
    Shutdown,
    InternalError,
    Xen,
    Eoi(u8),
    Other(u32),
    /// The guest writes its memory.
    Memory {
        at: u32,
        bytes: Vec<u8>,
    },
    /// It changes segments and control registers.
    System {
        user: bool,
        long: bool,
        cr3: u32,
        paging: bool,
        five: bool,
    },
    /// Time goes by, and delayed kicks come.
    Late,
}
