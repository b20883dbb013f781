//! What a hypercall's arguments point to: structures in the caller's own linear addresses. Nothing
//! in them is believed.

use std::mem::offset_of;

use guest_payload::abi::xen::{
    AddToPhysmap, BindIpi, EventPort, EventStatus, FeatureInfo, HvmParam, SchedPoll,
};

/// An address at which the caller has no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// The memory of a hypercall's caller, at its linear addresses.
pub trait CallerMemory {
    /// Reads all of `bytes`.
    ///
    /// # Errors
    /// [`Fault`]: the caller itself could not.
    fn read(&self, linear: u64, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// [`Fault`]: the caller itself could not. Some bytes may have been written.
    fn write(&self, linear: u64, bytes: &[u8]) -> Result<(), Fault>;
}

/// A structure that the caller hands over.
pub(super) trait Argument: Sized {
    /// Its bytes.
    const BYTES: usize;

    /// From its bytes.
    fn parse(fields: &Fields<'_>) -> Self;

    /// Reads one.
    fn read(memory: &impl CallerMemory, at: u64) -> Result<Self, Fault> {
        const LARGEST: usize = 32;
        let mut bytes = [0; LARGEST];
        let bytes = bytes.get_mut(..Self::BYTES).ok_or(Fault)?;
        memory.read(at, bytes)?;
        Ok(Self::parse(&Fields(bytes)))
    }
}

/// The bytes of a structure, read by offset.
pub(super) struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn at<const N: usize>(&self, offset: usize) -> [u8; N] {
        let field = self.0.get(offset..).and_then(<[u8]>::first_chunk);
        field.copied().unwrap_or([0; N])
    }

    fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.at(offset))
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.at(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.at(offset))
    }
}

impl Argument for EventPort {
    const BYTES: usize = size_of::<Self>();

    fn parse(fields: &Fields<'_>) -> Self {
        Self {
            port: fields.u32(offset_of!(Self, port)),
        }
    }
}

impl Argument for BindIpi {
    const BYTES: usize = size_of::<Self>();

    fn parse(fields: &Fields<'_>) -> Self {
        Self {
            vcpu: fields.u32(offset_of!(Self, vcpu)),
            port: fields.u32(offset_of!(Self, port)),
        }
    }
}

impl Argument for EventStatus {
    const BYTES: usize = size_of::<Self>();

    fn parse(fields: &Fields<'_>) -> Self {
        Self {
            dom: fields.u16(offset_of!(Self, dom)),
            port: fields.u32(offset_of!(Self, port)),
            ..Self::default()
        }
    }
}

impl Argument for SchedPoll {
    const BYTES: usize = size_of::<Self>();

    fn parse(fields: &Fields<'_>) -> Self {
        Self {
            ports: fields.u64(offset_of!(Self, ports)),
            nr_ports: fields.u32(offset_of!(Self, nr_ports)),
            reserved: 0,
            timeout: fields.u64(offset_of!(Self, timeout)),
        }
    }
}

impl Argument for AddToPhysmap {
    const BYTES: usize = size_of::<Self>();

    fn parse(fields: &Fields<'_>) -> Self {
        Self {
            domid: fields.u16(offset_of!(Self, domid)),
            size: fields.u16(offset_of!(Self, size)),
            space: fields.u32(offset_of!(Self, space)),
            idx: fields.u64(offset_of!(Self, idx)),
            gpfn: fields.u64(offset_of!(Self, gpfn)),
        }
    }
}

impl Argument for HvmParam {
    const BYTES: usize = size_of::<Self>();

    fn parse(fields: &Fields<'_>) -> Self {
        Self {
            domid: fields.u16(offset_of!(Self, domid)),
            reserved: 0,
            index: fields.u32(offset_of!(Self, index)),
            value: fields.u64(offset_of!(Self, value)),
        }
    }
}

impl Argument for FeatureInfo {
    const BYTES: usize = size_of::<Self>();

    fn parse(fields: &Fields<'_>) -> Self {
        Self {
            submap_idx: fields.u32(offset_of!(Self, submap_idx)),
            submap: fields.u32(offset_of!(Self, submap)),
        }
    }
}
