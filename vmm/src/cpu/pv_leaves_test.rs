use super::*;

/// What Linux 6.x reports on VMX, as of `__do_cpuid_func`.
const USUAL: u32 = 0x0100_7efb;

fn features() -> PvFeatures {
    PvFeatures {
        pv_unhalt: Offer::Shown,
        hint_realtime: Offer::Hidden,
        tsc_deadline: Offer::Hidden,
        vmcall: Vmcall::Completes,
        kick: KickTaker::Kvm,
        local_apics: LocalApics::Kvm,
        tsc_khz: None,
        apic_bus_khz: None,
    }
}

fn supported(eax: u32) -> [kvm_cpuid_entry2; 1] {
    [kvm_cpuid_entry2 {
        function: FEATURES_LEAF,
        eax,
        ..Default::default()
    }]
}

#[test]
fn a_host_that_can_do_all_passes_it_on() {
    assert_eq!(features().features(USUAL), USUAL);
}

#[test]
fn pv_unhalt_follows_the_switch() {
    let hidden = PvFeatures {
        pv_unhalt: Offer::Hidden,
        ..features()
    };
    assert_eq!(hidden.features(USUAL), USUAL & !PV_UNHALT);
    let by_vmm = PvFeatures {
        kick: KickTaker::Vmm,
        ..hidden
    };
    assert_eq!(by_vmm.features(USUAL), USUAL & !PV_UNHALT);
}

#[test]
fn kvms_kick_needs_support_and_a_vmcall_that_returns() {
    assert!(!features().offers_pv_unhalt(USUAL & !PV_UNHALT));
    let stuck = PvFeatures {
        vmcall: Vmcall::NeverCompletes,
        ..features()
    };
    assert!(!stuck.offers_pv_unhalt(USUAL));
}

#[test]
fn the_vmms_kick_needs_neither() {
    let by_vmm = PvFeatures {
        vmcall: Vmcall::NeverCompletes,
        kick: KickTaker::Vmm,
        ..features()
    };
    assert!(by_vmm.offers_pv_unhalt(0));
    assert_eq!(by_vmm.features(0), PV_UNHALT);
}

#[test]
fn without_vmcall_the_hypercall_features_go_and_the_tlb_flush_stays() {
    let stuck = PvFeatures {
        vmcall: Vmcall::NeverCompletes,
        kick: KickTaker::Vmm,
        ..features()
    };
    let left = stuck.features(USUAL | MMU_OP);
    assert_eq!(left & (MMU_OP | PV_SEND_IPI | PV_SCHED_YIELD), 0);
    assert_ne!(left & PV_TLB_FLUSH, 0);
    assert_eq!(left, USUAL & !(PV_SEND_IPI | PV_SCHED_YIELD));
}

#[test]
fn without_kvms_local_apic_what_rests_on_it_goes() {
    let apart = PvFeatures {
        kick: KickTaker::Vmm,
        local_apics: LocalApics::Vmm,
        ..features()
    };
    let left = apart.features(USUAL);
    assert_eq!(
        left & (ASYNC_PF | PV_EOI | PV_SEND_IPI | ASYNC_PF_INT | ASYNC_PF_VMEXIT),
        0
    );
    assert_ne!(left & PV_UNHALT, 0);
}

#[test]
fn what_userspace_must_serve_is_never_shown() {
    let all = features().features(u32::MAX);
    assert_eq!(all & (HC_MAP_GPA_RANGE | MIGRATION_CONTROL), 0);
}

#[test]
fn the_signature_reads_kvmkvmkvm() {
    let leaves = features().leaves(&supported(USUAL));
    let text: Vec<u8> = [leaves[0].ebx, leaves[0].ecx, leaves[0].edx]
        .iter()
        .flat_map(|register| register.to_le_bytes())
        .collect();
    assert_eq!(text, b"KVMKVMKVM\0\0\0");
    assert_eq!(leaves[0].eax, FEATURES_LEAF);
    assert_eq!(leaves[1].eax, USUAL);
    assert_eq!(leaves.len(), 2);
}

#[test]
fn hints_and_frequencies_appear_when_asked_for() {
    let asked = PvFeatures {
        hint_realtime: Offer::Shown,
        tsc_khz: Some(2_500_000),
        apic_bus_khz: Some(KVM_APIC_BUS_KHZ),
        ..features()
    };
    let leaves = asked.leaves(&supported(USUAL));
    assert_eq!(leaves[0].eax, FREQUENCY_LEAF);
    assert_eq!(leaves[1].edx, HINT_REALTIME);
    assert_eq!((leaves[2].eax, leaves[2].ebx), (2_500_000, 1_000_000));
}
