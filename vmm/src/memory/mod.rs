//! Guest memory: RAM below the hole that PCs have under 4 GiB, and the rest above it.

mod forget;
mod in_use;
mod own_writes;
mod private_map;

pub use forget::forget_page;
pub use in_use::{PageSource, PageSources};
pub use own_writes::OwnWrites;
pub use private_map::{PrivateMapError, PrivateRange, map_privately};

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use kvm_bindings::{KVM_MEM_LOG_DIRTY_PAGES, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;
use vm_memory::{
    Address, GuestAddress, GuestMemoryBackend, GuestMemoryError, GuestMemoryMmap,
    GuestMemoryRegion, MemoryRegionAddress,
};

/// First address of the hole: local APIC, I/O APIC and firmware live in it.
const HOLE_START: u64 = 0xc000_0000;
/// First address after the hole.
const HOLE_END: u64 = 1 << 32;
/// The smallest memory a machine gets: boot data below 1 MiB, an image above.
pub const MEMORY_BYTES_MIN: u64 = 2 << 20;
/// The largest: what 46 address bits reach.
pub const MEMORY_BYTES_MAX: u64 = 1 << 46;
/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;

/// An amount of guest memory in bytes, a multiple of the page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySize(u64);

impl MemorySize {
    /// The amount in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// `bytes`, if that is an amount of memory a machine can have.
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        let fits = (MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX).contains(&bytes);
        (fits && bytes.is_multiple_of(PAGE_BYTES)).then_some(Self(bytes))
    }

    /// `mib` MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The guest-physical ranges of RAM.
    pub fn ranges(self) -> Vec<Range<u64>> {
        let below = self.0.min(HOLE_START);
        let above = HOLE_END..HOLE_END + (self.0 - below);
        [0..below, above]
            .into_iter()
            .filter(|range| !range.is_empty())
            .collect()
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}M", self.0 >> 20)
    }
}

/// Why a text is no memory size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SizeError {
    /// Not a number with a suffix.
    #[error("`{0}` is not a size; write a number with K, M or G, as in 128M")]
    NotASize(String),
    /// Below the least.
    #[error("`{0}` is too little memory; the least is 2M")]
    TooSmall(String),
    /// Not a multiple of the page size.
    #[error("`{0}` is not a multiple of the page size, 4K")]
    NotPages(String),
}

impl FromStr for MemorySize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let bad = || SizeError::NotASize(text.to_owned());
        let (number, shift) = match text.as_bytes().last() {
            Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
            Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
            Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
            _ => (text, 0),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        let bytes = number
            .checked_mul(1 << shift)
            .filter(|bytes| *bytes <= MEMORY_BYTES_MAX)
            .ok_or_else(bad)?;
        if bytes < MEMORY_BYTES_MIN {
            return Err(SizeError::TooSmall(text.to_owned()));
        }
        if bytes % PAGE_BYTES != 0 {
            return Err(SizeError::NotPages(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

/// Why memory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host does not give that much.
    #[error("{0} of guest memory cannot be mapped; ask for less with --memory")]
    Map(MemorySize, #[source] vm_memory::mmap::FromRangesError),
    /// KVM refuses the region.
    #[error("KVM refuses the guest memory at {0:#x}")]
    Register(u64, #[source] kvm_ioctls::Error),
    /// KVM does not say what was written.
    #[error("KVM_GET_DIRTY_LOG of memory region {0}")]
    Log(usize, #[source] kvm_ioctls::Error),
    /// A region without a host address.
    #[error("guest memory at {0:#x} has no host address")]
    Address(u64, #[source] GuestMemoryError),
}

/// Maps `size` of anonymous memory; the host gives pages as the guest touches them.
///
/// # Errors
/// [`Error::Map`].
pub fn map(size: MemorySize) -> Result<GuestMemoryMmap, Error> {
    let ranges: Vec<_> = size
        .ranges()
        .into_iter()
        .filter_map(|range| {
            let bytes = usize::try_from(range.end - range.start).ok()?;
            Some((GuestAddress(range.start), bytes))
        })
        .collect();
    GuestMemoryMmap::from_ranges(&ranges).map_err(|error| Error::Map(size, error))
}

/// Whether KVM notes which pages are written ("dirty").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteLog {
    /// It does not.
    Off,
    /// It does; [`take_written`] reads the log.
    On,
}

/// Gives the memory to `vm`, or changes whether writes to it are logged.
///
/// # Errors
/// [`Error::Register`], [`Error::Address`].
pub fn register(vm: &VmFd, memory: &GuestMemoryMmap, log: WriteLog) -> Result<(), Error> {
    for (slot, region) in (0..).zip(memory.iter()) {
        let start = region.start_addr().raw_value();
        let host = region
            .get_host_address(MemoryRegionAddress(0))
            .map_err(|error| Error::Address(start, error))?;
        let region = kvm_userspace_memory_region {
            slot,
            flags: match log {
                WriteLog::Off => 0,
                WriteLog::On => KVM_MEM_LOG_DIRTY_PAGES,
            },
            guest_phys_addr: start,
            memory_size: region.len(),
            userspace_addr: host as u64,
        };
        // SAFETY: the mapping belongs to `memory`, which the machine keeps longer than its VM; no
        // two regions share a slot, and a slot is only ever given the same region again.
        unsafe { vm.set_user_memory_region(region) }
            .map_err(|error| Error::Register(start, error))?;
    }
    Ok(())
}

/// The pages of a region that were written since the log was last read, a bit each.
///
/// # Errors
/// [`Error::Log`]: no such region, or KVM does not log.
pub fn take_written(vm: &VmFd, memory: &GuestMemoryMmap, region: usize) -> Result<Vec<u64>, Error> {
    let no_region = || Error::Log(region, kvm_ioctls::Error::new(libc::EINVAL));
    let bytes = memory.iter().nth(region).ok_or_else(no_region)?.len();
    let bytes = usize::try_from(bytes).map_err(|_| no_region())?;
    let slot = u32::try_from(region).map_err(|_| no_region())?;
    vm.get_dirty_log(slot, bytes)
        .map_err(|error| Error::Log(region, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        for (text, bytes) in [
            ("128M", 128 << 20),
            ("2m", 2 << 20),
            ("1G", 1 << 30),
            ("4096K", 4 << 20),
        ] {
            assert_eq!(text.parse::<MemorySize>().unwrap().bytes(), bytes);
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for bad in [
            "",
            "M",
            "12X",
            "-1M",
            "1.5G",
            "1M",
            "0",
            "3000001",
            "99999999999G",
        ] {
            assert!(bad.parse::<MemorySize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_above_3_gib_goes_around_the_hole() {
        let size: MemorySize = "4G".parse().unwrap();
        assert_eq!(
            size.ranges(),
            [0..0xc000_0000, 1 << 32..(1 << 32) + (1 << 30)]
        );
    }
}
