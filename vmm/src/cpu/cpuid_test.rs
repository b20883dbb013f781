use super::super::pv_leaves::{FEATURES_LEAF, KickTaker, LocalApics, PV_UNHALT, Vmcall};
use super::*;
use proptest::prelude::*;

const FEATURES: PvFeatures = PvFeatures {
    pv_unhalt: Offer::Shown,
    hint_realtime: Offer::Hidden,
    tsc_deadline: Offer::Hidden,
    vmcall: Vmcall::Completes,
    kick: KickTaker::Kvm,
    local_apics: LocalApics::Kvm,
    tsc_khz: None,
    apic_bus_khz: None,
};

fn entry(function: u32, registers: [u32; 4]) -> kvm_cpuid_entry2 {
    let [eax, ebx, ecx, edx] = registers;
    kvm_cpuid_entry2 {
        function,
        eax,
        ebx,
        ecx,
        edx,
        ..Default::default()
    }
}

/// A host in small: one cache of each level, stale topology, KVM's leaves.
fn supported(vendor: &[u8; 4], max_leaf: u32) -> CpuId {
    let cache = |leaf: u32, index: u32, eax: u32| kvm_cpuid_entry2 {
        index,
        flags: kvm_bindings::KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        ..entry(leaf, [eax, 0x01c0_003f, 63, 0])
    };
    CpuId::from_entries(&[
        entry(0, [max_leaf, u32::from_le_bytes(*vendor), 0, 0]),
        entry(1, [0x806f8, 0xff10_0800, TSC_DEADLINE, 0]),
        cache(4, 0, 0xfc00_4121),
        cache(4, 1, 0xfc00_4143),
        cache(4, 2, 0xfc1f_c163),
        cache(4, 3, 0),
        entry(0xb, [9, 9, 9, 9]),
        entry(0x1f, [9, 9, 9, 9]),
        entry(0x4000_0000, [0x4000_0001, 1, 2, 3]),
        entry(FEATURES_LEAF, [0x0100_7efb, 0, 0, 0]),
        entry(0x4000_0080, [7, 7, 7, 7]),
        entry(0x8000_0008, [0x3030, 0, 0x70ff, 0]),
        cache(0x8000_001d, 0, 0x4121),
        cache(0x8000_001d, 3, 0x4163),
        entry(0x8000_001e, [0; 4]),
        entry(0x8000_0026, [9, 9, 9, 9]),
    ])
    .unwrap()
}

fn intel() -> CpuId {
    supported(b"Genu", 0x1f)
}

fn vcpu(supported: &CpuId, topology: &Topology, index: u32) -> Vec<kvm_cpuid_entry2> {
    let mut template = CpuidTemplate::new(supported, &FEATURES, topology).unwrap();
    template.for_vcpu(index).as_slice().to_vec()
}

fn find(cpuid: &[kvm_cpuid_entry2], function: u32, index: u32) -> kvm_cpuid_entry2 {
    let mut found = cpuid
        .iter()
        .filter(|entry| entry.function == function && entry.index == index);
    let entry = *found.next().expect("the leaf is there");
    assert!(found.next().is_none(), "leaf {function:#x} is there twice");
    entry
}

#[test]
fn leaf_1_has_the_low_8_bits_and_the_package_size() {
    let topology = Topology::new(64, 3, 2).unwrap();
    let leaf = find(&vcpu(&intel(), &topology, 40 * 6), 1, 0);
    assert_eq!(topology.apic_id(40 * 6), 320);
    assert_eq!(leaf.ebx >> 24, 320 & 0xff);
    assert_eq!(leaf.ebx >> 16 & 0xff, 8, "4 core IDs x 2 thread IDs");
    assert_eq!(leaf.ebx & 0xffff, 0x0800, "the rest stays");
    assert_eq!(leaf.edx >> 28 & 1, 1, "HTT");
    assert_eq!(leaf.ecx, X2APIC | HYPERVISOR);
}

#[test]
fn a_single_vcpu_has_no_htt() {
    let leaf = find(&vcpu(&intel(), &Topology::flat(1).unwrap(), 0), 1, 0);
    assert_eq!((leaf.edx >> 28 & 1, leaf.ebx >> 16 & 0xff), (0, 1));
}

#[test]
fn a_package_beyond_8_bits_is_told_as_255() {
    let leaf = find(&vcpu(&intel(), &Topology::flat(1024).unwrap(), 0), 1, 0);
    assert_eq!(leaf.ebx >> 16 & 0xff, 255);
}

#[test]
fn the_tsc_deadline_timer_is_as_asked() {
    let features = PvFeatures {
        tsc_deadline: Offer::Shown,
        ..FEATURES
    };
    let topology = Topology::flat(1).unwrap();
    let mut template = CpuidTemplate::new(&intel(), &features, &topology).unwrap();
    let leaf = find(template.for_vcpu(0).as_slice(), 1, 0);
    assert_ne!(leaf.ecx & TSC_DEADLINE, 0);
}

#[test]
fn caches_are_shared_by_a_core_or_by_the_package() {
    let cpuid = vcpu(&intel(), &Topology::new(1, 3, 2).unwrap(), 0);
    for index in [0, 1] {
        assert_eq!(find(&cpuid, 4, index).eax >> 14 & 0xfff, 1);
    }
    let last_level = find(&cpuid, 4, 2).eax;
    assert_eq!((last_level >> 14 & 0xfff, last_level >> 26), (7, 3));
    assert_eq!(last_level & 0x3fff, 0x163, "type and level stay");
    assert_eq!(find(&cpuid, 4, 3).eax, 0, "the end stays the end");
}

#[test]
fn leaf_1f_appears_only_where_the_host_counts_that_far() {
    let has = |max| {
        let cpuid = vcpu(&supported(b"Genu", max), &Topology::flat(2).unwrap(), 1);
        cpuid.iter().any(|entry| entry.function == 0x1f)
    };
    assert!(has(0x1f) && has(0x20) && !has(0x16));
}

#[test]
fn amd_leaves_are_filled_in_on_amd_only() {
    let topology = Topology::new(2, 3, 2).unwrap();
    let cpuid = vcpu(&supported(b"Auth", 0x10), &topology, 11);
    let sizes = find(&cpuid, 0x8000_0008, 0).ecx;
    assert_eq!((sizes & 0xff, sizes >> 12 & 0xf), (5, 3));
    let ids = find(&cpuid, 0x8000_001e, 0);
    assert_eq!((ids.eax, ids.ebx, ids.ecx), (13, 0x0102, 1));
    assert_eq!(find(&cpuid, 0x8000_001d, 0).eax >> 14 & 0xfff, 1);
    assert_eq!(find(&cpuid, 0x8000_001d, 3).eax >> 14 & 0xfff, 7);

    let cpuid = vcpu(&intel(), &topology, 11);
    assert_eq!(find(&cpuid, 0x8000_0008, 0).ecx, 0x70ff);
}

#[test]
fn an_old_amd_host_gets_leaf_0b() {
    let cpuid = vcpu(&supported(b"Auth", 0x7), &Topology::flat(2).unwrap(), 1);
    assert_eq!(find(&cpuid, 0, 0).eax, 0xb);
    assert_eq!(find(&cpuid, 0xb, 0).edx, 1);
}

#[test]
fn foreign_hypervisor_leaves_and_amds_topology_are_gone() {
    let cpuid = vcpu(&intel(), &Topology::flat(1).unwrap(), 0);
    let leaves: Vec<u32> = cpuid.iter().map(|entry| entry.function).collect();
    assert!(!leaves.contains(&0x4000_0080) && !leaves.contains(&0x8000_0026));
    assert_ne!(find(&cpuid, FEATURES_LEAF, 0).eax & PV_UNHALT, 0);
}

#[test]
fn more_entries_than_kvm_takes_are_refused() {
    let many = vec![entry(2, [0; 4]); kvm_bindings::KVM_MAX_CPUID_ENTRIES];
    let many = CpuId::from_entries(&many).unwrap();
    let topology = Topology::flat(1).unwrap();
    let refused = CpuidTemplate::new(&many, &FEATURES, &topology).unwrap_err();
    assert!(refused.to_string().contains("more than KVM takes (256)"));
}

/// The SDM's algorithm (vol. 3A, "Algorithm of Three-Domain Mappings"): walk the sub-leaves, take
/// each level's shift, cut the x2APIC ID. Returns package, core and thread ID.
fn decode(cpuid: &[kvm_cpuid_entry2], leaf: u32) -> (u32, u32, u32) {
    let (mut thread_shift, mut package_shift, mut id) = (0, 0, 0);
    for index in 0.. {
        let level = find(cpuid, leaf, index);
        id = level.edx;
        match level.ecx >> 8 & 0xff {
            0 => break,
            1 => thread_shift = level.eax & 0x1f,
            _ => {}
        }
        package_shift = level.eax & 0x1f;
    }
    let low = |shift: u32| (1u32 << shift) - 1;
    (
        id >> package_shift,
        (id & low(package_shift)) >> thread_shift,
        id & low(thread_shift),
    )
}

proptest! {
    #[test]
    fn the_sdms_algorithm_gives_back_every_position(
        sockets in 1u32..6, cores in 1u32..70, threads in 1u32..9,
    ) {
        let topology = Topology::new(sockets, cores, threads).unwrap();
        let mut template = CpuidTemplate::new(&intel(), &FEATURES, &topology).unwrap();
        for index in 0..topology.vcpus() {
            let cpuid = template.for_vcpu(index).as_slice();
            let position = topology.position(index);
            let expected = (position.socket, position.core, position.thread);
            prop_assert_eq!(decode(cpuid, 0xb), expected);
            prop_assert_eq!(decode(cpuid, 0x1f), expected);
            prop_assert_eq!(find(cpuid, 0xb, 0).edx, topology.apic_id(index));
            prop_assert_eq!(find(cpuid, 1, 0).ebx >> 24, topology.apic_id(index) & 0xff);
        }
    }
}

#[test]
fn this_hosts_kvm_takes_it() {
    let Ok(kvm) = kvm_ioctls::Kvm::new() else {
        eprintln!("skipped: /dev/kvm cannot be opened");
        return;
    };
    let supported = kvm
        .get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES)
        .unwrap();
    let topology = Topology::new(2, 3, 2).unwrap();
    let mut template = CpuidTemplate::new(&supported, &FEATURES, &topology).unwrap();
    let vm = kvm.create_vm().unwrap();
    for index in [0, 6, 11] {
        let vcpu = vm.create_vcpu(u64::from(topology.apic_id(index))).unwrap();
        vcpu.set_cpuid2(template.for_vcpu(index)).unwrap();
        let seen = vcpu
            .get_cpuid2(kvm_bindings::KVM_MAX_CPUID_ENTRIES)
            .unwrap();
        let leaf = find(seen.as_slice(), 0xb, 1);
        assert_eq!((leaf.eax, leaf.edx), (3, topology.apic_id(index)));
    }
}
