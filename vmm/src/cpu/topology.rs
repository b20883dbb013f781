//! Sockets, cores and threads, and the APIC IDs that follow from them.

use std::fmt;
use std::str::FromStr;

/// The largest APIC ID that a local APIC in xAPIC mode has: 8 bits, and 0xff is the broadcast.
pub const XAPIC_ID_MAX: u32 = 0xfe;

/// How the vCPUs of a machine are grouped.
///
/// APIC IDs are made as hardware makes them (SDM vol. 3, "Hierarchical Mapping of CPUID Extended
/// Topology Leaf"): one bit field per level, each wide enough for the level's count rounded up to
/// a power of two. Where a count is not a power of two the IDs have gaps, so an APIC ID is never
/// an index.
///
/// Every value of this type has non-zero counts, a vCPU count that fits `u32`, and APIC IDs below
/// the x2APIC broadcast ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    sockets: u32,
    cores: u32,
    threads: u32,
}

/// Where one vCPU sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Socket, from 0.
    pub socket: u32,
    /// Core within the socket, from 0.
    pub core: u32,
    /// Thread within the core, from 0.
    pub thread: u32,
}

/// Why a topology cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An element of the list is not `key=value`.
    #[error("topology: `{0}` is not `key=value`; write sockets=S,cores=C,threads=T")]
    NotAPair(String),
    /// A key that no level has.
    #[error("topology: unknown key `{0}`; the keys are sockets, cores and threads")]
    UnknownKey(String),
    /// A key that was given before.
    #[error("topology: `{0}` is given twice")]
    Repeated(&'static str),
    /// A count that is no number from 1.
    #[error("topology: {key}={value} is not a whole number from 1 to {}", u32::MAX)]
    NotACount {
        /// The level.
        key: &'static str,
        /// What was written.
        value: String,
    },
    /// The counts multiply out to more than APIC IDs can number.
    #[error(
        "topology: {sockets} sockets x {cores} cores x {threads} threads need more than 32 bits of APIC ID"
    )]
    TooLarge {
        /// Sockets asked for.
        sockets: u32,
        /// Cores per socket asked for.
        cores: u32,
        /// Threads per core asked for.
        threads: u32,
    },
    /// The counts do not multiply out to the number of vCPUs.
    #[error(
        "topology: {} sockets x {} cores x {} threads = {}, but there are {vcpus} vCPUs; change --topology or --vcpus",
        topology.sockets, topology.cores, topology.threads, topology.vcpus()
    )]
    Product {
        /// The topology.
        topology: Topology,
        /// The vCPUs asked for.
        vcpus: u32,
    },
    /// The highest APIC ID is beyond what the host's KVM accepts as a vCPU ID.
    #[error(
        "topology: {topology} needs APIC IDs up to {}, but this host's KVM allows at most {}; use counts that are powers of two, or fewer vCPUs",
        topology.max_apic_id(), id_limit.saturating_sub(1)
    )]
    ApicIdLimit {
        /// The topology.
        topology: Topology,
        /// `KVM_CAP_MAX_VCPU_ID`: every ID is below it.
        id_limit: u32,
    },
}

impl Topology {
    /// `sockets` x `cores` per socket x `threads` per core.
    ///
    /// # Errors
    /// [`Error::NotACount`] for a zero, [`Error::TooLarge`] where APIC IDs would not fit 32 bits.
    pub fn new(sockets: u32, cores: u32, threads: u32) -> Result<Self, Error> {
        for (key, count) in [("sockets", sockets), ("cores", cores), ("threads", threads)] {
            if count == 0 {
                let value = count.to_string();
                return Err(Error::NotACount { key, value });
            }
        }
        let topology = Self {
            sockets,
            cores,
            threads,
        };
        let too_large = Error::TooLarge {
            sockets,
            cores,
            threads,
        };
        let vcpus = sockets
            .checked_mul(cores)
            .and_then(|product| product.checked_mul(threads))
            .ok_or(too_large.clone())?;
        // u32::MAX itself is the x2APIC broadcast ID.
        if topology.wide_apic_id(vcpus - 1) >= u64::from(u32::MAX) {
            return Err(too_large);
        }
        Ok(topology)
    }

    /// One socket of `vcpus` cores with one thread each: APIC IDs are 0, 1, 2, ...
    ///
    /// # Errors
    /// As [`Topology::new`], for 0 vCPUs.
    pub fn flat(vcpus: u32) -> Result<Self, Error> {
        Self::new(1, vcpus, 1)
    }

    /// Sockets.
    pub fn sockets(&self) -> u32 {
        self.sockets
    }

    /// Cores per socket.
    pub fn cores(&self) -> u32 {
        self.cores
    }

    /// Threads per core.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// vCPUs in one socket.
    pub fn vcpus_per_socket(&self) -> u32 {
        self.cores * self.threads
    }

    /// vCPUs in all.
    pub fn vcpus(&self) -> u32 {
        self.sockets * self.vcpus_per_socket()
    }

    /// Bits of the APIC ID that number the thread.
    pub fn thread_bits(&self) -> u32 {
        ceil_log2(self.threads)
    }

    /// Bits of the APIC ID that number the core, above the thread's.
    pub fn core_bits(&self) -> u32 {
        ceil_log2(self.cores)
    }

    /// Bits of the APIC ID below the socket's.
    pub fn package_shift(&self) -> u32 {
        self.thread_bits() + self.core_bits()
    }

    /// Where vCPU `index` sits; threads of a core come first, then cores.
    pub fn position(&self, index: u32) -> Position {
        Position {
            socket: index / self.vcpus_per_socket(),
            core: index / self.threads % self.cores,
            thread: index % self.threads,
        }
    }

    /// The x2APIC ID of vCPU `index`, which is below [`Topology::vcpus`].
    pub fn apic_id(&self, index: u32) -> u32 {
        u32::try_from(self.wide_apic_id(index)).unwrap_or(u32::MAX)
    }

    /// The APIC IDs of all vCPUs in order of their index.
    pub fn apic_ids(&self) -> impl ExactSizeIterator<Item = u32> + use<> {
        let topology = *self;
        (0..self.vcpus()).map(move |index| topology.apic_id(index))
    }

    /// The highest APIC ID.
    pub fn max_apic_id(&self) -> u32 {
        self.apic_id(self.vcpus() - 1)
    }

    /// The index of the vCPU with this APIC ID, `None` for an ID in a gap or beyond the last.
    pub fn index_of(&self, apic_id: u32) -> Option<u32> {
        let id = u64::from(apic_id);
        let field = |shift: u32, bits: u32| (id >> shift) & ((1 << bits) - 1);
        let thread = field(0, self.thread_bits());
        let core = field(self.thread_bits(), self.core_bits());
        let socket = id >> self.package_shift();
        let inside = thread < u64::from(self.threads)
            && core < u64::from(self.cores)
            && socket < u64::from(self.sockets);
        let index = (socket * u64::from(self.cores) + core) * u64::from(self.threads) + thread;
        inside.then_some(index)?.try_into().ok()
    }

    /// Checks the topology against the machine it is for.
    ///
    /// `id_limit` is `KVM_CAP_MAX_VCPU_ID`: KVM takes the APIC ID as the vCPU's ID and refuses one
    /// that is not below it.
    ///
    /// # Errors
    /// [`Error::Product`] or [`Error::ApicIdLimit`].
    pub fn check(&self, vcpus: u32, id_limit: u32) -> Result<(), Error> {
        let topology = *self;
        if self.vcpus() != vcpus {
            return Err(Error::Product { topology, vcpus });
        }
        if self.max_apic_id() >= id_limit {
            return Err(Error::ApicIdLimit { topology, id_limit });
        }
        Ok(())
    }

    fn wide_apic_id(&self, index: u32) -> u64 {
        let Position {
            socket,
            core,
            thread,
        } = self.position(index);
        u64::from(socket) << self.package_shift()
            | u64::from(core) << self.thread_bits()
            | u64::from(thread)
    }
}

impl FromStr for Topology {
    type Err = Error;

    /// Parses `sockets=S,cores=C,threads=T`, in any order; what is missing is 1.
    fn from_str(text: &str) -> Result<Self, Error> {
        const KEYS: [&str; 3] = ["sockets", "cores", "threads"];
        let mut counts = [None; KEYS.len()];
        for part in text.split(',') {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| Error::NotAPair(part.to_owned()))?;
            let level = KEYS
                .iter()
                .position(|key| *key == name)
                .ok_or_else(|| Error::UnknownKey(name.to_owned()))?;
            let key = KEYS[level];
            let count = match value.parse::<u32>() {
                Ok(count) if count > 0 => count,
                _ => {
                    let value = value.to_owned();
                    return Err(Error::NotACount { key, value });
                }
            };
            if counts[level].replace(count).is_some() {
                return Err(Error::Repeated(key));
            }
        }
        let [sockets, cores, threads] = counts.map(|count| count.unwrap_or(1));
        Self::new(sockets, cores, threads)
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sockets={},cores={},threads={}",
            self.sockets, self.cores, self.threads
        )
    }
}

/// Bits that number `count` things, `count` not 0.
fn ceil_log2(count: u32) -> u32 {
    u32::BITS - (count - 1).leading_zeros()
}

#[cfg(test)]
#[path = "topology_test.rs"]
mod tests;
