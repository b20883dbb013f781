//! What the ACPI tables are made from.

use super::platform::Platform;

/// What the tables describe.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// x2APIC IDs in order of vCPU index, which is the processor UID; the boot processor first.
    pub apic_ids: &'a [u32],
    /// Beside the CPUs.
    pub platform: Platform,
}
