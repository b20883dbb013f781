//! Why a machine cannot be built.

use std::io;
use std::path::PathBuf;

use super::{guest, switches};
use crate::cpu::compat::Difference;
use crate::cpu::{cpuid, topology};
use crate::host::HostError;
use crate::kvm::stats::StatsError;
use crate::memory;
use crate::ple::handshake;
use crate::pv::apic_id;

/// Why a machine cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host cannot do it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The switches do not fit.
    #[error(transparent)]
    Switches(#[from] switches::Error),
    /// The laboratory's switches do not fit the guest.
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    /// The guest is not one.
    #[error(transparent)]
    Guest(#[from] guest::Error),
    /// No memory.
    #[error(transparent)]
    Memory(#[from] memory::Error),
    /// No CPUID.
    #[error(transparent)]
    Cpuid(#[from] cpuid::Error),
    /// The topology does not fit the host.
    #[error(transparent)]
    Topology(#[from] topology::Error),
    /// APIC IDs collide.
    #[error(transparent)]
    ApicIds(#[from] apic_id::Error),
    /// More vCPUs than KVM allows.
    #[error("--vcpus {asked}: KVM allows {most} on this host")]
    TooManyVcpus {
        /// Asked for.
        asked: u32,
        /// The most.
        most: usize,
    },
    /// An amount of memory that is none.
    #[error("{0} bytes of guest memory: not an amount a machine can have")]
    MemorySize(u64),
    /// A peer asks for more memory than there is.
    #[error("{size} of guest memory: this host has {} MiB", most >> 20)]
    MoreThanTheHostHas {
        /// Asked for.
        size: memory::MemorySize,
        /// The host's, in bytes.
        most: u64,
    },
    /// Memory that is not laid out as the build says.
    #[error("the guest memory that came is not that of the machine; the file is damaged")]
    MemoryRanges,
    /// This host lacks what the guest was shown.
    #[error("this host lacks what the guest was shown; --force goes on all the same{}", lines(.0))]
    OtherHost(Vec<Difference>),
    /// A capability is missing.
    #[error("this host's KVM lacks {0}")]
    Missing(&'static str),
    /// An ioctl failed.
    #[error("KVM: {0} failed")]
    Ioctl(&'static str, #[source] kvm_ioctls::Error),
    /// A vCPU cannot be made.
    #[error("KVM: vCPU {0} (APIC ID {1}) cannot be made")]
    Vcpu(u32, u32, #[source] kvm_ioctls::Error),
    /// The serial port's file cannot be made.
    #[error("--serial {}: cannot make the file", .0.display())]
    SerialFile(PathBuf, #[source] io::Error),
    /// A system call failed.
    #[error("{0}")]
    System(String, #[source] io::Error),
    /// Binary statistics cannot be read.
    #[error(transparent)]
    Stats(#[from] StatsError),
}

fn lines(differences: &[Difference]) -> String {
    differences
        .iter()
        .fold(String::new(), |mut text, difference| {
            text.push_str("\n  ");
            text.push_str(&difference.to_string());
            text
        })
}
