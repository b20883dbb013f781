//! The CPUID leaves that say which vCPUs share a core and a socket.
//!
//! Intel: SDM vol. 2A, CPUID, leaves 01H, 04H, 0BH and 1FH; vol. 3A, "Hierarchical Mapping of
//! CPUID Extended Topology Leaf". AMD: APM vol. 3, appendix E, functions 8000_0008h, 8000_001Dh
//! and 8000_001Eh.

use kvm_bindings::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

use super::topology::Topology;

/// Leaf 0BH.
pub(super) const EXTENDED_TOPOLOGY: u32 = 0xb;
/// Leaf 1FH: as 0BH, with room for dies and modules, which we have none of.
pub(super) const EXTENDED_TOPOLOGY_V2: u32 = 0x1f;
/// AMD's leaf of x2APIC ID, core and node.
pub(super) const AMD_IDENTIFIERS: u32 = 0x8000_001e;
/// AMD's own extended topology. Removed: Linux prefers it to 0BH and needs nothing of it.
pub(super) const AMD_EXTENDED_TOPOLOGY: u32 = 0x8000_0026;

/// Level types, bits 15:8 of ECX; 0 ends the list.
const LEVEL_SMT: u32 = 1;
const LEVEL_CORE: u32 = 2;

/// Sub-leaves of 0BH and 1FH: thread, core, end.
const LEVELS: u32 = 3;

/// Three entries for `leaf`, 0BH or 1FH. EDX, the x2APIC ID, is each vCPU's own.
pub(super) fn levels(leaf: u32, topology: &Topology) -> [kvm_cpuid_entry2; LEVELS as usize] {
    let level = |index: u32, shift: u32, count: u32, kind: u32| kvm_cpuid_entry2 {
        function: leaf,
        index,
        flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        // EAX[4:0]: how far to shift the x2APIC ID right to get the next level's ID.
        eax: shift,
        // EBX[15:0]: logical processors at this level, for display only.
        ebx: count.min(0xffff),
        // ECX[7:0]: the sub-leaf asked for; ECX[15:8]: the level's type.
        ecx: index | kind << 8,
        ..Default::default()
    };
    [
        level(0, topology.thread_bits(), topology.threads(), LEVEL_SMT),
        level(
            1,
            topology.package_shift(),
            topology.vcpus_per_socket(),
            LEVEL_CORE,
        ),
        level(2, 0, 0, 0),
    ]
}

/// Sets the topology fields of `entry` that all vCPUs share.
pub(super) fn set_shared(entry: &mut kvm_cpuid_entry2, topology: &Topology, amd: bool) {
    let thread_ids = 1u64 << topology.thread_bits();
    let core_ids = 1u64 << topology.core_bits();
    let package_ids = thread_ids * core_ids;
    // Of a cache, EAX[7:5] is the level: 1 and 2 are a core's own, 3 and up the package's.
    let cache_ids = if entry.eax >> 5 & 0x7 <= 2 {
        thread_ids
    } else {
        package_ids
    };
    match entry.function {
        0x1 => {
            // EBX[23:16]: addressable logical processor IDs in the package; 255 where it is more.
            set_field(&mut entry.ebx, 16, 8, package_ids);
            // EDX[28] (HTT): EBX[23:16] is valid.
            set_field(
                &mut entry.edx,
                28,
                1,
                u64::from(topology.vcpus_per_socket() > 1),
            );
        }
        // Type 0 ends the list of caches.
        0x4 if entry.eax & 0x1f != 0 => {
            // EAX[25:14]: addressable IDs that share this cache, less 1.
            set_field(&mut entry.eax, 14, 12, cache_ids - 1);
            // EAX[31:26]: addressable core IDs in the package, less 1; at most 64 can be told.
            set_field(&mut entry.eax, 26, 6, core_ids - 1);
        }
        0x8000_0001 if amd => {
            // ECX[1] (CmpLegacy): more than one core, without Intel's meaning of HTT.
            set_field(
                &mut entry.ecx,
                1,
                1,
                u64::from(topology.vcpus_per_socket() > 1),
            );
        }
        0x8000_0008 if amd => {
            // ECX[7:0]: threads in the package, less 1. ECX[15:12]: bits of the APIC ID below the
            // package's.
            set_field(
                &mut entry.ecx,
                0,
                8,
                u64::from(topology.vcpus_per_socket()) - 1,
            );
            set_field(&mut entry.ecx, 12, 4, u64::from(topology.package_shift()));
        }
        0x8000_001d if amd && entry.eax & 0x1f != 0 => {
            set_field(&mut entry.eax, 14, 12, cache_ids - 1);
        }
        _ => {}
    }
}

/// Sets the fields of `entry` that are vCPU `index`'s own: its APIC ID in several widths.
pub(super) fn set_own(entry: &mut kvm_cpuid_entry2, topology: &Topology, index: u32) {
    let apic_id = topology.apic_id(index);
    match entry.function {
        // EBX[31:24]: initial APIC ID, the low 8 bits of it.
        0x1 => entry.ebx = entry.ebx & 0x00ff_ffff | apic_id << 24,
        // EDX: the x2APIC ID, whole, in every sub-leaf.
        EXTENDED_TOPOLOGY | EXTENDED_TOPOLOGY_V2 => entry.edx = apic_id,
        AMD_IDENTIFIERS => {
            let position = topology.position(index);
            // EAX: extended APIC ID.
            entry.eax = apic_id;
            // EBX[7:0]: core ID within the package; EBX[15:8]: threads per core, less 1.
            entry.ebx = 0;
            set_field(&mut entry.ebx, 0, 8, u64::from(position.core & 0xff));
            set_field(&mut entry.ebx, 8, 8, u64::from(topology.threads()) - 1);
            // ECX[7:0]: node ID, here the socket's; ECX[10:8]: nodes per package, less 1.
            entry.ecx = position.socket & 0xff;
            entry.edx = 0;
        }
        _ => {}
    }
}

/// Whether [`set_own`] changes this leaf.
pub(super) fn is_own(leaf: u32) -> bool {
    matches!(
        leaf,
        0x1 | EXTENDED_TOPOLOGY | EXTENDED_TOPOLOGY_V2 | AMD_IDENTIFIERS
    )
}

/// Writes `value` into `bits` bits of `register` from bit `shift`, or the field's highest value
/// where it does not fit.
fn set_field(register: &mut u32, shift: u32, bits: u32, value: u64) {
    let highest = (1u32 << bits) - 1;
    let value = u32::try_from(value).map_or(highest, |value| value.min(highest));
    *register = *register & !(highest << shift) | value << shift;
}
