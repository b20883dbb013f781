mod wire;

use super::feature_words::WORDS;
use super::*;
use crate::cpu::cpuid::CpuidTemplate;
use crate::cpu::pv_leaves::{
    FEATURES_LEAF, KickTaker, LocalApics, Offer, PV_SEND_IPI, PV_UNHALT, PvFeatures, Vmcall,
};
use crate::cpu::state::{Kept, save};
use crate::cpu::topology::Topology;
use crate::host::open_kvm;
use crate::host::tiny_vm::{Lapic, Ring, TinyVm};

fn entry(function: u32, index: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> kvm_cpuid_entry2 {
    kvm_cpuid_entry2 {
        function,
        index,
        eax,
        ebx,
        ecx,
        edx,
        ..Default::default()
    }
}

const INTEL: [u32; 4] = [0x20, 0x756e_6547, 0x6c65_746e, 0x4965_6e69];

const AMD: [u32; 4] = [0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65];

fn needs(cpuid: Vec<kvm_cpuid_entry2>) -> HostNeeds {
    HostNeeds {
        kind: Kind::Vmx,
        kernel: "6.18.0".to_owned(),
        cpuid: RawList::new(cpuid).unwrap(),
        msrs: RawList::new(vec![0x174, 0x2ff]).unwrap(),
        xsave_bytes: 4096,
        tsc_khz: Some(2_000_000),
        capabilities: [Capability::LocalApicInKvm].into_iter().collect(),
    }
}

fn offers(cpuid: Vec<kvm_cpuid_entry2>) -> HostOffers {
    HostOffers {
        kind: Kind::Vmx,
        cpuid,
        msrs: vec![0x174, 0x175],
        xsave_bytes: 4096,
        tsc_khz: Some(2_000_000),
        tsc_scaling: false,
        capabilities: [Capability::LocalApicInKvm, Capability::TscDeadline]
            .into_iter()
            .collect(),
    }
}

fn lines(needs: &HostNeeds, has: &HostOffers) -> Vec<String> {
    let found = differences(needs, has);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn each_feature_that_is_missing_is_one_line_and_no_other_bit_is_one() {
    for word in &WORDS {
        for bit in 0..32 {
            let with = |value: u32| {
                let registers = [Register::Eax, Register::Ebx, Register::Ecx, Register::Edx];
                let registers = registers.map(|of| if of == word.register { value } else { 0 });
                vec![
                    entry(0, 0, INTEL),
                    entry(word.leaf, word.subleaf, registers),
                ]
            };
            let mut has = offers(with(0));
            has.capabilities =
                has.capabilities | [Capability::VmcallCompletes].into_iter().collect();
            let found = differences(&needs(with(1 << bit)), &has);
            let is_ours = word.leaf == FEATURES_LEAF && 1 << bit == PV_UNHALT;
            if word.not_features >> bit & 1 != 0 || is_ours {
                assert_eq!(found, []);
            } else {
                let (leaf, subleaf, register) = (word.leaf, word.subleaf, word.register);
                let name = word.name(bit);
                let feature = Difference::Feature {
                    leaf,
                    subleaf,
                    register,
                    bit,
                    name,
                };
                assert_eq!(found, [feature]);
            }
            assert_eq!(differences(&needs(with(0)), &offers(with(1 << bit))), []);
        }
    }
}

#[test]
fn features_are_named_as_linux_names_them() {
    let name = |leaf: u32, register: Register, bit: u32| {
        let of = |word: &&feature_words::FeatureWord| {
            word.leaf == leaf && word.register == register && word.subleaf == 0
        };
        WORDS.iter().find(of).unwrap().name(bit)
    };
    // The last of each string, and some between: a name that is left out moves all after it.
    for (leaf, register, bit, expected) in [
        (1, Register::Ecx, 28, "avx"),
        (1, Register::Ecx, 31, "hypervisor"),
        (1, Register::Edx, 26, "sse2"),
        (1, Register::Edx, 31, "pbe"),
        (6, Register::Eax, 6, "pts"),
        (7, Register::Ebx, 16, "avx512f"),
        (7, Register::Ebx, 31, "avx512vl"),
        (7, Register::Ecx, 16, "la57"),
        (7, Register::Ecx, 22, "rdpid"),
        (7, Register::Ecx, 31, "pks"),
        (7, Register::Edx, 20, "ibt"),
        (7, Register::Edx, 31, "spec_ctrl_ssbd"),
        (0xd, Register::Eax, 9, "pkru"),
        (0xd, Register::Eax, 18, "xtiledata"),
        (FEATURES_LEAF, Register::Eax, 7, "pv_unhalt"),
        (FEATURES_LEAF, Register::Eax, 24, "clocksource_stable"),
        (0x8000_0001, Register::Ecx, 29, "mwaitx"),
        (0x8000_0001, Register::Edx, 31, "3dnow"),
        (0x8000_0007, Register::Edx, 8, "nonstop_tsc"),
        (0x8000_0008, Register::Ebx, 31, "brs"),
        (0x8000_000a, Register::Edx, 18, "x2avic"),
        (0x8000_001f, Register::Eax, 10, "sme_coherent"),
        (0x8000_0021, Register::Eax, 29, "srso_no"),
    ] {
        assert_eq!(name(leaf, register, bit), Some(expected), "{leaf:#x} {bit}");
    }
    let of_subleaf_1 = |leaf, register, bit| {
        let of = |word: &&feature_words::FeatureWord| {
            (word.leaf, word.subleaf, word.register) == (leaf, 1, register)
        };
        WORDS.iter().find(of).unwrap().name(bit)
    };
    assert_eq!(of_subleaf_1(7, Register::Eax, 26), Some("lam"));
    assert_eq!(of_subleaf_1(7, Register::Edx, 19), Some("avx10"));
    assert_eq!(of_subleaf_1(0xd, Register::Eax, 4), Some("xfd"));
    assert_eq!(of_subleaf_1(0xd, Register::Ecx, 16), Some("hwp"));
    for word in &WORDS {
        assert_eq!(word.name(32), None, "{word:?}");
    }
}

#[test]
fn a_kick_that_kvm_takes_needs_kvms_feature() {
    let shown = |bits| vec![entry(0, 0, INTEL), entry(FEATURES_LEAF, 0, [bits, 0, 0, 0])];
    let mut needs = needs(shown(PV_UNHALT));
    assert_eq!(lines(&needs, &offers(shown(0))), [""; 0]);
    needs.capabilities = [Capability::VmcallCompletes].into_iter().collect();
    assert_eq!(
        lines(&needs, &offers(shown(0))),
        [
            "CPUID 0x40000001.0 EAX bit 7 (pv_unhalt): the guest was shown it, this host does not \
             have it",
            "the guest needs a `vmcall` that completes (--kick kvm), which this host lacks",
        ]
    );
}

#[test]
fn a_feature_that_is_a_vmcall_needs_one_that_completes() {
    let shown = vec![
        entry(0, 0, INTEL),
        entry(FEATURES_LEAF, 0, [PV_SEND_IPI, 0, 0, 0]),
    ];
    assert_eq!(
        differences(&needs(shown.clone()), &offers(shown)),
        [Difference::Capability(Capability::VmcallCompletes)]
    );
}

#[test]
fn a_tsc_deadline_timer_is_asked_of_kvm_and_not_of_the_cpu() {
    let shown = vec![entry(0, 0, INTEL), entry(1, 0, [0, 0, 1 << 24, 0])];
    let mut has = offers(vec![entry(0, 0, INTEL)]);
    assert_eq!(differences(&needs(shown.clone()), &has), []);
    has.capabilities = has
        .capabilities
        .without([Capability::TscDeadline].into_iter().collect());
    assert_eq!(
        differences(&needs(shown), &has),
        [Difference::Capability(Capability::TscDeadline)]
    );
}

#[test]
fn what_is_no_feature_is_no_difference() {
    const MWAIT: u32 = 1 << 3;
    const X2APIC: u32 = 1 << 21;
    const OSXSAVE: u32 = 1 << 27;
    const HYPERVISOR: u32 = 1 << 31;
    const APIC: u32 = 1 << 9;
    const HTT: u32 = 1 << 28;
    const OSPKE: u32 = 1 << 4;
    const CMP_LEGACY: u32 = 1 << 1;
    let cpuid = |seed: u32| {
        let ours = seed & (MWAIT | X2APIC | OSXSAVE | HYPERVISOR);
        vec![
            entry(0, 0, INTEL),
            entry(1, 0, [seed, seed, ours, seed & (APIC | HTT)]),
            entry(7, 0, [seed, 0, seed & OSPKE, 0]),
            entry(0x8000_0001, 0, [seed, seed, seed & CMP_LEGACY, seed & APIC]),
            entry(4, 0, [seed; 4]),
            entry(0xb, 1, [seed; 4]),
            entry(0x1f, 1, [seed; 4]),
            entry(0x8000_0002, 0, [seed; 4]),
            entry(0x8000_001e, 0, [seed; 4]),
        ]
    };
    assert_eq!(lines(&needs(cpuid(u32::MAX)), &offers(cpuid(0))), [""; 0]);
}

#[test]
fn what_differs_is_said_in_one_line_each() {
    let guest = needs(vec![
        entry(0, 0, INTEL),
        entry(1, 0, [0x806f8, 0, 0, 0]),
        entry(7, 0, [0, 1 << 16, 0, 0]),
        entry(0xa, 0, [0x0805, 0, 0, 3]),
        entry(0xd, 2, [256, 576, 0, 0]),
        entry(0x8000_0008, 0, [0x3934, 0, 0, 0]),
    ]);
    let guest = HostNeeds {
        msrs: RawList::new(vec![0x174, 0x2ff, 0x1c4]).unwrap(),
        capabilities: guest.capabilities | [Capability::WideApicIds].into_iter().collect(),
        xsave_bytes: 11008,
        tsc_khz: Some(2_100_000),
        ..guest
    };
    let host = HostOffers {
        kind: Kind::Svm,
        ..offers(vec![
            entry(0, 0, AMD),
            entry(1, 0, [0xa20f12, 0, 0, 0]),
            entry(0xa, 0, [0x0402, 0, 0, 3]),
            entry(0xd, 2, [256, 832, 0, 0]),
            entry(0x8000_0008, 0, [0x3028, 0, 0, 0]),
        ])
    };
    assert_eq!(
        lines(&guest, &host),
        [
            "the guest ran under KVM of kind vmx, this one is svm",
            "the guest was told that its CPU is GenuineIntel 0x806f8, this one is AuthenticAMD \
             0xa20f12",
            "CPUID 0x7.0 EBX bit 16 (avx512f): the guest was shown it, this host does not have it",
            "physical address bits: the guest was told 52, this host has 40",
            "linear address bits: the guest was told 57, this host has 48",
            "version of the performance counters: the guest was told 5, this host has 2",
            "performance counters: the guest was told 8, this host has 4",
            "CPUID 0xd.2: state is laid out in another way on this host",
            "the guest needs APIC IDs of 32 bits (KVM_CAP_X2APIC_API), which this host lacks",
            "MSR 0x1c4 is not known to this KVM",
            "the guest's XSAVE areas have 11008 bytes, this host's 4096",
            "TSC runs at 2000000 kHz, the guest was told 2100000 kHz and this host cannot scale",
        ]
    );
    // All the same the other way round, where only the smaller numbers are missing.
    let scaling = HostOffers {
        tsc_scaling: true,
        ..host
    };
    assert!(
        !lines(&guest, &scaling)
            .iter()
            .any(|line| line.starts_with("TSC"))
    );
}

#[test]
fn a_tsc_within_kvms_tolerance_is_the_same() {
    let cpuid = vec![entry(0, 0, INTEL)];
    for (khz, same) in [
        (2_000_500, true),
        (2_000_501, false),
        (1_999_500, true),
        (1_999_499, false),
    ] {
        let guest = HostNeeds {
            tsc_khz: Some(khz),
            ..needs(cpuid.clone())
        };
        assert_eq!(
            differences(&guest, &offers(cpuid.clone())).is_empty(),
            same,
            "{khz}"
        );
    }
}

#[test]
fn what_a_vcpu_shows_besides_is_offered() {
    let supported = vec![entry(7, 0, [2, 1, 0, 0]), entry(0xd, 1, [0, 5, 0, 0])];
    let shown = [entry(7, 0, [7, 2, 4, 8]), entry(0xd, 1, [3, 9, 0, 0])];
    assert_eq!(
        cpuid::with_shown(supported, &shown),
        [entry(7, 0, [2, 3, 4, 8]), entry(0xd, 1, [3, 5, 0, 0])]
    );
}

/// The machines that this program makes, restored where they were saved.
#[test]
fn a_host_has_what_it_gave() {
    let kvm = open_kvm().unwrap();
    let supported = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).unwrap();
    for (topology, kick, vmcall, local_apics) in [
        (
            Topology::flat(1),
            KickTaker::Vmm,
            Vmcall::NeverCompletes,
            LocalApics::Kvm,
        ),
        (
            Topology::flat(64),
            KickTaker::Kvm,
            Vmcall::Completes,
            LocalApics::Kvm,
        ),
        (
            Topology::new(2, 3, 2),
            KickTaker::Vmm,
            Vmcall::Completes,
            LocalApics::Kvm,
        ),
        (
            Topology::new(2, 3, 2),
            KickTaker::Vmm,
            Vmcall::NeverCompletes,
            LocalApics::Vmm,
        ),
    ] {
        let in_kvm = local_apics == LocalApics::Kvm;
        let features = PvFeatures {
            pv_unhalt: Offer::Shown,
            hint_realtime: Offer::Shown,
            tsc_deadline: if in_kvm { Offer::Shown } else { Offer::Hidden },
            vmcall,
            kick,
            local_apics,
            tsc_khz: Some(1),
            apic_bus_khz: Some(1),
        };
        let mut template = CpuidTemplate::new(&supported, &features, &topology.unwrap()).unwrap();
        let lapic = if in_kvm { Lapic::InKernel } else { Lapic::None };
        let vm = TinyVm::new(&kvm, lapic, &[]).unwrap();
        let mut vcpu = vm
            .add_vcpu(0, Ring::Kernel, Some(template.for_vcpu(0)))
            .unwrap();
        // CR4.OSXSAVE shows in CPUID.
        let mut sregs = vcpu.fd().get_sregs().unwrap();
        sregs.cr4 |= 1 << 18;
        vcpu.fd().set_sregs(&sregs).unwrap();
        let kept = Kept::find(&kvm, vm.fd(), vcpu.fd(), local_apics).unwrap();
        let state = save(vcpu.fd(), &kept).unwrap();
        let capabilities = match kick {
            KickTaker::Kvm => [Capability::VmcallCompletes].into_iter().collect(),
            KickTaker::Vmm => Capabilities::default(),
        };
        let needs = HostNeeds::of([&state].into_iter(), Kind::detect(), "6", capabilities);
        assert!(!needs.cpuid.as_slice().is_empty() && !needs.msrs.as_slice().is_empty());
        let vm = TinyVm::new(&kvm, lapic, &[]).unwrap();
        let mut vcpu = vm.add_vcpu(0, Ring::Kernel, None).unwrap();
        let has = HostOffers::look(&kvm, vm.fd(), vcpu.fd(), vmcall).unwrap();
        assert_eq!(
            lines(&needs, &has),
            [""; 0],
            "{kick:?} {vmcall:?} {local_apics:?}"
        );
    }
}
