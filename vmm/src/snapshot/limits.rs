//! How much of anything a snapshot may have. A hostile file costs no more memory than this.

/// Unit of guest memory in the file, and its alignment.
pub(super) const PAGE: usize = 4096;
/// The same, for offsets.
pub(super) const PAGE_BYTES: u64 = PAGE as u64;
/// Sections. A machine has one for each vCPU and a few others; KVM ends at 4096 vCPUs.
pub(super) const SECTIONS_MAX: u32 = 8192;
/// Content of one section. The largest is the memory map, with 5 bytes for each of at most
/// [`CHUNKS_MAX`] chunks; a vCPU has some tens of KiB.
pub(super) const SECTION_BYTES_MAX: u64 = 16 << 20;
/// Header, table and all sections together.
pub(super) const METADATA_BYTES_MAX: u64 = 128 << 20;
/// Regions of guest memory. A machine has two.
pub(super) const REGIONS_MAX: usize = 64;
/// Chunks of guest memory, counted over all regions.
pub(super) const CHUNKS_MAX: u64 = 1 << 21;
/// The end of guest-physical addresses: x86 has 52 bits.
pub(super) const GPA_END_MAX: u64 = 1 << 52;
/// The smallest chunk.
pub(super) const CHUNK_BYTES_MIN: u32 = 4096;
/// The largest chunk.
pub(super) const CHUNK_BYTES_MAX: u32 = 1 << 30;
