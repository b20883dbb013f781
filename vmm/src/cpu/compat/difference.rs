//! One line for each thing that is missing.

use std::fmt;

use super::Capability;
use crate::host::Kind;

/// A register of CPUID's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Register {
    /// EAX.
    Eax,
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eax => "EAX",
            Self::Ebx => "EBX",
            Self::Ecx => "ECX",
            Self::Edx => "EDX",
        })
    }
}

/// Something that the guest needs and the host does not offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Another kind of KVM.
    Kind {
        /// The guest's.
        needs: Kind,
        /// The host's.
        has: Kind,
    },
    /// A CPU of another vendor: what CPUID says means other things.
    Vendor {
        /// The guest's, twelve letters, and its signature (leaf 1, EAX).
        needs: (String, u32),
        /// The host's.
        has: (String, u32),
    },
    /// A feature that the guest was shown.
    Feature {
        /// CPUID leaf.
        leaf: u32,
        /// Sub-leaf.
        subleaf: u32,
        /// Register.
        register: Register,
        /// Bit.
        bit: u32,
        /// The feature's name as Linux prints it, where it has one.
        name: Option<&'static str>,
    },
    /// A number that may not be smaller.
    Number {
        /// Of what.
        what: &'static str,
        /// The guest's.
        needs: u32,
        /// The host's.
        has: u32,
    },
    /// A part of the XSAVE area, or of a tile, lies elsewhere.
    Layout {
        /// CPUID leaf.
        leaf: u32,
        /// Sub-leaf.
        subleaf: u32,
    },
    /// Something else.
    Capability(Capability),
    /// Something else, whose name only a newer version knows.
    UnknownCapability,
    /// An MSR that holds something.
    Msr(u32),
    /// Longer XSAVE areas.
    Xsave {
        /// The guest's, in bytes.
        needs: u32,
        /// The host's, in bytes.
        has: u32,
    },
    /// A TSC of another rate, which cannot be scaled.
    TscRate {
        /// The guest's, in kHz.
        needs: u32,
        /// The host's, in kHz.
        has: u32,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { needs, has } => {
                write!(
                    f,
                    "the guest ran under KVM of kind {needs}, this one is {has}"
                )
            }
            Self::Vendor { needs, has } => write!(
                f,
                "the guest was told that its CPU is {} {:#x}, this one is {} {:#x}",
                needs.0.escape_default(),
                needs.1,
                has.0.escape_default(),
                has.1
            ),
            Self::Feature {
                leaf,
                subleaf,
                register,
                bit,
                name,
            } => {
                write!(f, "CPUID {leaf:#x}.{subleaf} {register} bit {bit}")?;
                name.map_or(Ok(()), |name| write!(f, " ({name})"))?;
                f.write_str(": the guest was shown it, this host does not have it")
            }
            Self::Number { what, needs, has } => {
                write!(f, "{what}: the guest was told {needs}, this host has {has}")
            }
            Self::Layout { leaf, subleaf } => write!(
                f,
                "CPUID {leaf:#x}.{subleaf}: state is laid out in another way on this host"
            ),
            Self::Capability(capability) => {
                write!(f, "the guest needs {capability}, which this host lacks")
            }
            Self::UnknownCapability => {
                f.write_str("the guest needs something that only a newer version of vmm knows")
            }
            Self::Msr(index) => write!(f, "MSR {index:#x} is not known to this KVM"),
            Self::Xsave { needs, has } => write!(
                f,
                "the guest's XSAVE areas have {needs} bytes, this host's {has}"
            ),
            Self::TscRate { needs, has } => write!(
                f,
                "TSC runs at {has} kHz, the guest was told {needs} kHz and this host cannot scale"
            ),
        }
    }
}
