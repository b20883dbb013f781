use super::*;
use proptest::prelude::*;

use ApicMode::{Disabled, X2Apic, XApic};

/// Who is reached, by vCPU index, in ascending order.
fn reached(targets: Targets<'_, impl Fn(VcpuIndex) -> ApicMode>) -> Vec<u32> {
    let mut reached = match targets {
        Targets::Nobody => vec![],
        Targets::One(VcpuIndex(index)) => vec![index],
        Targets::Broadcast(all) => all.map(|VcpuIndex(index)| index).collect(),
    };
    reached.sort_unstable();
    reached
}

fn kick(vcpus: &[(u32, ApicMode)], quirk: BroadcastQuirk, a1: u64) -> Vec<u32> {
    let ids = ApicIds::new(vcpus.iter().map(|(id, _)| *id), quirk).unwrap();
    let mode_of = |VcpuIndex(index)| vcpus[index as usize].1;
    reached(ids.targets(Destination::from_a1(a1), mode_of))
}

/// The same question asked as KVM asks it: fill the map of all IDs vCPU by vCPU, take broadcasts
/// out first, ask each vCPU for those.
fn oracle(vcpus: &[(u32, ApicMode)], quirk: BroadcastQuirk, dest: u32) -> Vec<u32> {
    let quirky = quirk == BroadcastQuirk::Enabled;
    let all_x2apic = vcpus.iter().all(|(_, mode)| *mode != XApic);
    let broadcast = if quirky {
        dest == 0xff
    } else {
        dest == 0xffff_ffff || dest == 0xff && !all_x2apic
    };
    let mut map = std::collections::HashMap::new();
    let mut matching = vec![];
    for (index, &(id, mode)) in (0..).zip(vcpus) {
        if mode == Disabled {
            continue;
        }
        let x2apic = mode == X2Apic;
        if x2apic || id > 0xff {
            map.insert(id, index);
        }
        if !x2apic {
            map.entry(id & 0xff).or_insert(index);
        }

        let mda = if quirky && dest == 0xff && x2apic {
            0xffff_ffff
        } else {
            dest
        };
        let all = if x2apic { 0xffff_ffff } else { 0xff };
        let own = if x2apic || mda > 0xff { id } else { id & 0xff };
        if mda == all || mda == own {
            matching.push(index);
        }
    }
    if broadcast {
        matching
    } else {
        map.get(&dest).copied().into_iter().collect()
    }
}

#[test]
fn the_high_half_of_a1_is_dropped() {
    let vcpus = [(0, XApic), (2, XApic)];
    assert_eq!(
        kick(&vcpus, BroadcastQuirk::Enabled, 0xdead_beef_0000_0002),
        [1]
    );
}

#[test]
fn an_id_in_a_gap_is_nobodys() {
    let vcpus = [(0, X2Apic), (2, X2Apic)];
    assert!(kick(&vcpus, BroadcastQuirk::Enabled, 1).is_empty());
    assert!(kick(&vcpus, BroadcastQuirk::Enabled, 0x1_0001).is_empty());
}

#[test]
fn with_the_quirk_0xff_reaches_both_modes_and_0xffffffff_nobody() {
    let vcpus = [(0, XApic), (1, X2Apic), (2, Disabled), (255, X2Apic)];
    assert_eq!(kick(&vcpus, BroadcastQuirk::Enabled, 0xff), [0, 1, 3]);
    assert!(kick(&vcpus, BroadcastQuirk::Enabled, 0xffff_ffff).is_empty());
}

#[test]
fn without_the_quirk_0xff_is_an_id_for_x2apic() {
    let vcpus = [(0, X2Apic), (255, X2Apic)];
    assert_eq!(kick(&vcpus, BroadcastQuirk::Disabled, 0xff), [1]);
    assert!(kick(&vcpus[..1], BroadcastQuirk::Disabled, 0xff).is_empty());
    let mixed = [(0, XApic), (1, X2Apic), (255, X2Apic)];
    assert_eq!(kick(&mixed, BroadcastQuirk::Disabled, 0xff), [0, 2]);
}

#[test]
fn without_the_quirk_0xffffffff_reaches_x2apic_alone() {
    let vcpus = [(0, XApic), (1, X2Apic), (300, XApic), (400, X2Apic)];
    assert_eq!(kick(&vcpus, BroadcastQuirk::Disabled, 0xffff_ffff), [1, 3]);
}

#[test]
fn a_vcpu_not_started_yet_is_reached_by_its_wide_id() {
    let vcpus = [(0, X2Apic), (0x101, XApic)];
    assert_eq!(kick(&vcpus, BroadcastQuirk::Enabled, 0x101), [1]);
    assert_eq!(
        kick(&vcpus, BroadcastQuirk::Enabled, 1),
        [1],
        "and by its low 8 bits"
    );
}

#[test]
fn x2apic_mode_takes_an_id_from_one_that_only_aliases_it() {
    let vcpus = [(0x105, XApic), (5, X2Apic)];
    assert_eq!(kick(&vcpus, BroadcastQuirk::Enabled, 5), [1]);
    let vcpus = [(0x105, XApic), (5, XApic)];
    assert_eq!(
        kick(&vcpus, BroadcastQuirk::Enabled, 5),
        [0],
        "first created"
    );
}

#[test]
fn a_disabled_local_apic_is_never_reached() {
    let vcpus = [(0, Disabled), (300, Disabled)];
    for quirk in [BroadcastQuirk::Enabled, BroadcastQuirk::Disabled] {
        for a1 in [0, 300, 44, 0xff, 0xffff_ffff] {
            assert!(kick(&vcpus, quirk, a1).is_empty());
        }
    }
}

#[test]
fn one_target_is_one_and_not_a_broadcast() {
    let ids = ApicIds::new([0, 1000], BroadcastQuirk::Enabled).unwrap();
    let targets = ids.targets(Destination::from_a1(1000), |_| X2Apic);
    assert!(matches!(targets, Targets::One(VcpuIndex(1))));
}

#[test]
fn ids_that_are_not_a_vcpus_own_are_refused() {
    let refused = |ids: &[u32]| {
        let ids = ids.iter().copied();
        ApicIds::new(ids, BroadcastQuirk::Enabled).unwrap_err()
    };
    assert_eq!(
        refused(&[3, 4, 3]).to_string(),
        "APIC ID 3 belongs to vCPU 0 and to vCPU 2; every vCPU needs its own"
    );
    assert_eq!(refused(&[0, 0xffff_ffff]), Error::IsBroadcast { vcpu: 1 });
}

fn mode() -> impl Strategy<Value = ApicMode> {
    prop_oneof![1 => Just(Disabled), 4 => Just(XApic), 4 => Just(X2Apic)]
}

/// IDs that collide in their low 8 bits, that are broadcasts of the other mode, and any.
fn id() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..8, 0xf8u32..0x108, 0x1f8u32..0x208, 0u32..0xffff_ffff]
}

fn vcpus() -> impl Strategy<Value = Vec<(u32, ApicMode)>> {
    proptest::collection::btree_map(id(), mode(), 1..40)
        .prop_map(|map| map.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn it_answers_as_a_loop_over_all_vcpus_does(
        vcpus in vcpus(), quirk: bool, any_id in id(), pick: prop::sample::Index, high: u32,
    ) {
        let quirk = if quirk { BroadcastQuirk::Enabled } else { BroadcastQuirk::Disabled };
        let known = vcpus[pick.index(vcpus.len())].0;
        for dest in [any_id, known, known & 0xff, 0xff, 0xffff_ffff] {
            let a1 = u64::from(high) << 32 | u64::from(dest);
            prop_assert_eq!(kick(&vcpus, quirk, a1), oracle(&vcpus, quirk, dest));
        }
    }
}

#[test]
fn what_an_ipi_takes_as_broadcast_is_up_to_its_sender() {
    let vcpus = [(0, X2Apic), (0xff, X2Apic), (3, XApic)];
    let ids = ApicIds::new(vcpus.map(|(id, _)| id), BroadcastQuirk::Enabled).unwrap();
    let ipi = |destination, sender| {
        let mode_of = |VcpuIndex(index)| vcpus[index as usize].1;
        reached(ids.ipi_targets(Destination::from_a1(destination), sender, mode_of))
    };
    assert_eq!(ipi(0xff, X2Apic), [1]);
    assert_eq!(ipi(0xffff_ffff, X2Apic), [0, 1]);
    assert_eq!(ipi(0xff, XApic), [1, 2]);
    assert_eq!(ipi(3, XApic), [2]);
}

#[test]
fn an_x2apic_kernel_starts_vcpu_255_and_no_other() {
    // As at boot: the first runs in x2APIC mode, the others wait for their INITs as after reset.
    let ids = ApicIds::new(0..300, BroadcastQuirk::Disabled).unwrap();
    let mode_of = |VcpuIndex(index)| if index == 0 { X2Apic } else { XApic };
    let ipi = |sender| reached(ids.ipi_targets(Destination::from_a1(0xff), sender, mode_of));
    assert_eq!(ipi(X2Apic), [255]);
    assert_eq!(ipi(XApic).len(), 299);
}
