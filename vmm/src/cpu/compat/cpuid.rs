//! Two answers of CPUID compared.

use kvm_bindings::kvm_cpuid_entry2;

use super::capability::{Capabilities, Capability};
use super::difference::{Difference, Register};
use super::feature_words::{FeatureWord, WORDS};
use crate::cpu::pv_leaves::{
    FEATURES_LEAF, HC_MAP_GPA_RANGE, MMU_OP, PV_SCHED_YIELD, PV_SEND_IPI, PV_UNHALT,
    is_hypervisor_leaf,
};
use crate::cpu::xen_leaves;

const LEAF_1: u32 = 1;
const TSC_DEADLINE: u32 = 1 << 24;
/// Sub-leaf n describes component n of the XSAVE area: size, offset.
const XSAVE_LEAF: u32 = 0xd;
const TILE_LEAVES: [(u32, u32); 2] = [(0x1d, 1), (0x1e, 0)];

/// A field of a register that counts something.
struct Number {
    what: &'static str,
    leaf: u32,
    register: Register,
    shift: u32,
    bits: u32,
}

const NUMBERS: [Number; 6] = [
    Number::new("physical address bits", 0x8000_0008, Register::Eax, 0, 8),
    Number::new("linear address bits", 0x8000_0008, Register::Eax, 8, 8),
    Number::new(
        "version of the performance counters",
        0xa,
        Register::Eax,
        0,
        8,
    ),
    Number::new("performance counters", 0xa, Register::Eax, 8, 8),
    Number::new("fixed performance counters", 0xa, Register::Edx, 0, 5),
    Number::new("version of AVX10", 0x24, Register::Ebx, 0, 8),
];

impl Number {
    const fn new(what: &'static str, leaf: u32, register: Register, shift: u32, bits: u32) -> Self {
        Self {
            what,
            leaf,
            register,
            shift,
            bits,
        }
    }

    fn of(&self, cpuid: &[kvm_cpuid_entry2]) -> u32 {
        register(cpuid, self.leaf, 0, self.register) >> self.shift & ((1 << self.bits) - 1)
    }
}

/// What the guest was shown and `has` does not show.
pub(super) fn differences(
    guest: &[kvm_cpuid_entry2],
    stands_on: Capabilities,
    has: &[kvm_cpuid_entry2],
) -> Vec<Difference> {
    let mut found = Vec::new();
    // A machine without vCPUs needs nothing.
    if guest.is_empty() {
        return found;
    }
    let (needs_vendor, has_vendor) = (vendor(guest), vendor(has));
    if needs_vendor.0 != has_vendor.0 {
        found.push(Difference::Vendor {
            needs: needs_vendor,
            has: has_vendor,
        });
    }
    for word in &WORDS {
        let of = |cpuid| register(cpuid, word.leaf, word.subleaf, word.register);
        let missing = of(guest) & !of(has) & !not_features(word, stands_on);
        let bits = (0..32).filter(|bit| missing >> bit & 1 != 0);
        found.extend(bits.map(|bit| Difference::Feature {
            leaf: word.leaf,
            subleaf: word.subleaf,
            register: word.register,
            bit,
            name: word.name(bit),
        }));
    }
    for number in &NUMBERS {
        let (needs, has) = (number.of(guest), number.of(has));
        if needs > has {
            found.push(Difference::Number {
                what: number.what,
                needs,
                has,
            });
        }
    }
    found.extend(layout(guest, has));
    found
}

/// What KVM supports, with the features that a vCPU shows besides: a PVM host lets those of its
/// CPU through, whatever `KVM_SET_CPUID2` was told.
pub(super) fn with_shown(
    mut supported: Vec<kvm_cpuid_entry2>,
    shown: &[kvm_cpuid_entry2],
) -> Vec<kvm_cpuid_entry2> {
    for word in &WORDS {
        let bits = register(shown, word.leaf, word.subleaf, word.register);
        let is_of = |entry: &&mut kvm_cpuid_entry2| {
            entry.function == word.leaf && entry.index == word.subleaf
        };
        if let Some(entry) = supported.iter_mut().find(is_of) {
            *match word.register {
                Register::Eax => &mut entry.eax,
                Register::Ebx => &mut entry.ebx,
                Register::Ecx => &mut entry.ecx,
                Register::Edx => &mut entry.edx,
            } |= bits;
        }
    }
    supported
}

/// Who takes the kick decides whether the feature of it is KVM's or the VMM's own.
fn not_features(word: &FeatureWord, stands_on: Capabilities) -> u32 {
    let kick_is_ours = !stands_on.contains(Capability::VmcallCompletes);
    if word.leaf == FEATURES_LEAF && kick_is_ours {
        word.not_features | PV_UNHALT
    } else {
        word.not_features
    }
}

/// Components that either side lacks are features; those on both have to lie at the same place.
fn layout(guest: &[kvm_cpuid_entry2], has: &[kvm_cpuid_entry2]) -> Vec<Difference> {
    let components = (2..64).map(|component| (XSAVE_LEAF, component));
    components
        .chain(TILE_LEAVES)
        .filter(|&(leaf, subleaf)| {
            let place = |cpuid| {
                let entry = find(cpuid, leaf, subleaf)?;
                let place = (entry.eax, entry.ebx);
                (place != (0, 0)).then_some(place)
            };
            matches!((place(guest), place(has)), (Some(a), Some(b)) if a != b)
        })
        .map(|(leaf, subleaf)| Difference::Layout { leaf, subleaf })
        .collect()
}

/// What the guest stands on, by what it was shown: some PV features are a `vmcall` that the guest
/// executes without looking whether it returns.
pub(super) fn implied(guest: &[kvm_cpuid_entry2]) -> Capabilities {
    const BY_VMCALL: u32 = MMU_OP | PV_SEND_IPI | PV_SCHED_YIELD | HC_MAP_GPA_RANGE;
    let shown = |leaf, of, bits| register(guest, leaf, 0, of) & bits != 0;
    [
        (
            Capability::VmcallCompletes,
            shown(FEATURES_LEAF, Register::Eax, BY_VMCALL),
        ),
        (
            Capability::TscDeadline,
            shown(LEAF_1, Register::Ecx, TSC_DEADLINE),
        ),
    ]
    .into_iter()
    .filter_map(|(capability, shown)| shown.then_some(capability))
    .collect()
}

/// The vendor's twelve letters and the CPU's signature.
fn vendor(cpuid: &[kvm_cpuid_entry2]) -> (String, u32) {
    let letters: Vec<u8> = [Register::Ebx, Register::Edx, Register::Ecx]
        .into_iter()
        .flat_map(|of| register(cpuid, 0, 0, of).to_le_bytes())
        .collect();
    let signature = register(cpuid, LEAF_1, 0, Register::Eax);
    (String::from_utf8_lossy(&letters).into_owned(), signature)
}

fn register(cpuid: &[kvm_cpuid_entry2], leaf: u32, subleaf: u32, of: Register) -> u32 {
    find(cpuid, leaf, subleaf).map_or(0, |entry| match of {
        Register::Eax => entry.eax,
        Register::Ebx => entry.ebx,
        Register::Ecx => entry.ecx,
        Register::Edx => entry.edx,
    })
}

fn find(cpuid: &[kvm_cpuid_entry2], leaf: u32, subleaf: u32) -> Option<&kvm_cpuid_entry2> {
    // KVM's leaves stand behind Xen's where the guest has both.
    let leaf = match is_hypervisor_leaf(leaf) {
        true => leaf + xen_leaves::kvm_offset(cpuid),
        false => leaf,
    };
    let mut entries = cpuid.iter();
    entries.find(|entry| entry.function == leaf && entry.index == subleaf)
}
