//! KVM's binary statistics (`KVM_GET_STATS_FD`; Documentation/virt/kvm/api.rst, 4.133).
//!
//! A statistics descriptor reads like a file: a header, an id, descriptors that name each
//! statistic, and a block of 64-bit values. All but the values never changes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use kvm_bindings::{
    KVM_STATS_TYPE_CUMULATIVE, KVM_STATS_TYPE_INSTANT, KVM_STATS_TYPE_LINEAR_HIST,
    KVM_STATS_TYPE_LOG_HIST, KVM_STATS_TYPE_MASK, KVM_STATS_TYPE_PEAK,
};
use kvm_ioctls::{VcpuFd, VmFd};
use vmm_sys_util::ioctl::ioctl;

use super::request::KVM_GET_STATS_FD;

/// `struct kvm_stats_header`: six 32-bit fields.
const HEADER_BYTES: usize = 24;
/// `struct kvm_stats_desc` before its name.
const DESCRIPTOR_BYTES: usize = 16;
/// Bytes of one value.
const VALUE_BYTES: usize = 8;
/// Bounds on what a kernel may claim, far above what any does, so that sums below cannot overflow
/// and a broken header cannot make us allocate without end.
const MAX_NAME_BYTES: usize = 1024;
const MAX_DESCRIPTORS: usize = 16 * 1024;
const MAX_DATA_BYTES: usize = 16 << 20;

/// Counters by name, of one descriptor or summed over several.
pub type Counters = BTreeMap<String, u64>;

/// Statistics that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The kernel is older than 5.14, or the descriptor table is full.
    #[error("KVM_GET_STATS_FD: KVM gives no binary statistics")]
    Open(#[source] io::Error),
    /// The descriptor cannot be read.
    #[error("KVM's binary statistics cannot be read")]
    Read(#[source] io::Error),
    /// The kernel's layout is not as documented.
    #[error("KVM's binary statistics: {0}")]
    Malformed(&'static str),
}

/// What a statistic means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Cumulative,
    /// The state at the moment of reading.
    Instant,
    /// The greatest so far.
    Peak,
    /// Observations in buckets; its value here is their number.
    Histogram,
    /// A kind that newer kernels have.
    Unknown,
}

/// One statistic: its name and where its value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Name, as in debugfs; the unit is in it where it has one.
    pub name: String,
    /// What it means.
    pub kind: Kind,
    /// Offset of the first value in the block of values.
    offset: usize,
    /// Number of values: 1, or the buckets of a histogram.
    values: u16,
}

/// What a statistics descriptor holds besides values. Shared by all vCPUs of a kernel.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    header: [u8; HEADER_BYTES],
    descriptors: Vec<Descriptor>,
    /// Where the values start.
    data_at: u64,
    /// Size of all values.
    data_bytes: usize,
}

/// An open statistics descriptor of a VM or of a vCPU. Dropping it closes it.
#[derive(Debug)]
pub struct StatsFd {
    file: File,
    layout: Arc<Layout>,
}

impl StatsFd {
    /// The statistics of a VM.
    ///
    /// # Errors
    /// KVM has none, or their layout is not as documented.
    pub fn from_vm(vm: &VmFd) -> Result<Self, StatsError> {
        Self::with_own_layout(open(vm)?)
    }

    /// The statistics of a vCPU.
    ///
    /// # Errors
    /// As [`Self::from_vm`].
    pub fn from_vcpu(vcpu: &VcpuFd) -> Result<Self, StatsError> {
        Self::with_own_layout(open(vcpu)?)
    }

    /// The statistics of a further vCPU. Shares the names with `first`, which saves their parsing
    /// and their memory.
    ///
    /// # Errors
    /// As [`Self::from_vm`].
    pub fn from_vcpu_like(vcpu: &VcpuFd, first: &Self) -> Result<Self, StatsError> {
        let file = open(vcpu)?;
        if read_header(&file)? != first.layout.header {
            return Self::with_own_layout(file);
        }
        let layout = Arc::clone(&first.layout);
        Ok(Self { file, layout })
    }

    fn with_own_layout(file: File) -> Result<Self, StatsError> {
        let layout = Arc::new(Layout::read(&file)?);
        Ok(Self { file, layout })
    }

    /// What there is to read, in the kernel's order.
    pub fn descriptors(&self) -> &[Descriptor] {
        &self.layout.descriptors
    }

    /// The statistic of that name.
    pub fn find(&self, name: &str) -> Option<&Descriptor> {
        self.descriptors()
            .iter()
            .find(|descriptor| descriptor.name == name)
    }

    /// Every statistic, in the kernel's order. A histogram's value is the number of its
    /// observations (the sum of its buckets).
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub fn read_all(&self) -> Result<Vec<(String, u64)>, StatsError> {
        let values = self.values()?;
        let named = self.descriptors().iter().zip(values);
        Ok(named
            .map(|(descriptor, value)| (descriptor.name.clone(), value))
            .collect())
    }

    /// What only grows, histograms included: all that [`moved`] may compare.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub fn read_counters(&self) -> Result<Counters, StatsError> {
        let values = self.values()?;
        let named = self.descriptors().iter().zip(values);
        Ok(named
            .filter(|(of, _)| matches!(of.kind, Kind::Cumulative | Kind::Histogram))
            .map(|(of, value)| (of.name.clone(), value))
            .collect())
    }

    /// The value of one statistic, a histogram's first bucket: one `pread` of 8 bytes.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub fn read_one(&self, descriptor: &Descriptor) -> Result<u64, StatsError> {
        let mut value = [0; VALUE_BYTES];
        self.file
            .read_exact_at(&mut value, self.layout.data_at + descriptor.offset as u64)
            .map_err(StatsError::Read)?;
        Ok(u64::from_le_bytes(value))
    }

    /// All values with one `pread`, in the order of the descriptors.
    fn values(&self) -> Result<Vec<u64>, StatsError> {
        let block = read_block(&self.file, self.layout.data_at, self.layout.data_bytes)?;
        let descriptors = self.descriptors().iter();
        Ok(descriptors.map(|of| value_in(&block, of)).collect())
    }
}

/// The counters that grew between two readings, summed over VM and vCPUs: each slice has one entry
/// for each descriptor that was read. An empty `before` stands for a machine that had not run.
pub fn moved(before: &[Counters], after: &[Counters]) -> Counters {
    let before = sum(before);
    let mut moved = sum(after);
    moved.retain(|name, value| {
        *value = value.saturating_sub(before.get(name).copied().unwrap_or(0));
        *value > 0
    });
    moved
}

fn sum(readings: &[Counters]) -> Counters {
    let mut total = Counters::new();
    for (name, value) in readings.iter().flatten() {
        if let Some(sum) = total.get_mut(name) {
            *sum = value.saturating_add(*sum);
        } else {
            total.insert(name.clone(), *value);
        }
    }
    total
}

fn open(of: &impl AsRawFd) -> Result<File, StatsError> {
    // SAFETY: KVM_GET_STATS_FD takes no argument and touches no memory of ours.
    let fd = unsafe { ioctl(of, KVM_GET_STATS_FD()) };
    if fd < 0 {
        return Err(StatsError::Open(io::Error::last_os_error()));
    }
    // SAFETY: the ioctl has just made this descriptor and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(fd.into())
}

fn read_header(file: &File) -> Result<[u8; HEADER_BYTES], StatsError> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0)
        .map_err(StatsError::Read)?;
    Ok(header)
}

fn read_block(file: &File, offset: u64, bytes: usize) -> Result<Vec<u8>, StatsError> {
    let mut block = vec![0; bytes];
    file.read_exact_at(&mut block, offset)
        .map_err(StatsError::Read)?;
    Ok(block)
}

impl Layout {
    fn read(file: &File) -> Result<Self, StatsError> {
        let header = read_header(file)?;
        let parsed = Header::parse(&header)?;
        let block = read_block(file, parsed.descriptors_at, parsed.descriptors_bytes())?;
        let descriptors = parsed.descriptors(&block)?;
        let data_bytes = descriptors
            .iter()
            .map(|of| of.offset + usize::from(of.values) * VALUE_BYTES)
            .max()
            .unwrap_or(0);
        if data_bytes > MAX_DATA_BYTES {
            return Err(StatsError::Malformed("a value is too far away"));
        }
        Ok(Self {
            header,
            descriptors,
            data_at: parsed.data_at,
            data_bytes,
        })
    }
}

/// `struct kvm_stats_header`, checked.
#[derive(Debug)]
struct Header {
    name_bytes: usize,
    count: usize,
    descriptors_at: u64,
    data_at: u64,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, StatsError> {
        // flags, name_size, num_desc, id_offset, desc_offset, data_offset
        let [_, name_bytes, count, _, descriptors_at, data_at] =
            std::array::from_fn(|field| u32_at(bytes, 4 * field));
        let (name_bytes, count) = (name_bytes as usize, count as usize);
        if !(1..=MAX_NAME_BYTES).contains(&name_bytes) {
            return Err(StatsError::Malformed("a name's size is out of bounds"));
        }
        if count > MAX_DESCRIPTORS {
            return Err(StatsError::Malformed("too many descriptors"));
        }
        Ok(Self {
            name_bytes,
            count,
            descriptors_at: descriptors_at.into(),
            data_at: data_at.into(),
        })
    }

    fn descriptors_bytes(&self) -> usize {
        self.count * (DESCRIPTOR_BYTES + self.name_bytes)
    }

    fn descriptors(&self, block: &[u8]) -> Result<Vec<Descriptor>, StatsError> {
        block
            .chunks_exact(DESCRIPTOR_BYTES + self.name_bytes)
            .map(|bytes| self.descriptor(bytes))
            .collect()
    }

    /// `struct kvm_stats_desc`: flags, exponent (16 bits), size (16 bits), offset, bucket size,
    /// name.
    fn descriptor(&self, bytes: &[u8]) -> Result<Descriptor, StatsError> {
        let (fixed, name) = bytes.split_at(DESCRIPTOR_BYTES);
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let name =
            str::from_utf8(name).map_err(|_| StatsError::Malformed("a name is not UTF-8"))?;
        let values = u16::from_le_bytes([fixed[6], fixed[7]]);
        if name.is_empty() || values == 0 {
            return Err(StatsError::Malformed("a descriptor is empty"));
        }
        Ok(Descriptor {
            name: name.into(),
            kind: match u32_at(fixed, 0) & KVM_STATS_TYPE_MASK {
                KVM_STATS_TYPE_CUMULATIVE => Kind::Cumulative,
                KVM_STATS_TYPE_INSTANT => Kind::Instant,
                KVM_STATS_TYPE_PEAK => Kind::Peak,
                KVM_STATS_TYPE_LINEAR_HIST | KVM_STATS_TYPE_LOG_HIST => Kind::Histogram,
                _ => Kind::Unknown,
            },
            offset: u32_at(fixed, 8) as usize,
            values,
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The sum of a statistic's values in `block`, which holds all values.
fn value_in(block: &[u8], of: &Descriptor) -> u64 {
    let (values, _) = block[of.offset..].as_chunks();
    let values = values.iter().take(of.values.into());
    values
        .map(|&value| u64::from_le_bytes(value))
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
#[path = "stats_test.rs"]
mod tests;
