//! The registers of CPUID whose bits are features.
//!
//! Bits: Intel SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E; Linux
//! Documentation/virt/kvm/x86/cpuid.rst. Names: as in /proc/cpuinfo
//! (arch/x86/include/asm/cpufeatures.h), PV features as in kvm_para.h.

use super::Register::{self, Eax, Ebx, Ecx, Edx};
use crate::cpu::pv_leaves::FEATURES_LEAF;

/// A register full of features.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeatureWord {
    pub(super) leaf: u32,
    pub(super) subleaf: u32,
    pub(super) register: Register,
    /// Bits that are none: topology, what follows the guest's own registers, and what the VMM or
    /// KVM gives whatever the CPU has.
    pub(super) not_features: u32,
    /// Names of bits 0, 1, 2, ...; `-` for those without.
    names: &'static str,
}

impl FeatureWord {
    /// The name of a bit.
    pub(super) fn name(&self, bit: u32) -> Option<&'static str> {
        let at = usize::try_from(bit).ok()?;
        let name = self.names.split_ascii_whitespace().nth(at)?;
        (name != "-").then_some(name)
    }
}

const fn word(
    leaf: u32,
    subleaf: u32,
    register: Register,
    not_features: u32,
    names: &'static str,
) -> FeatureWord {
    FeatureWord {
        leaf,
        subleaf,
        register,
        not_features,
        names,
    }
}

/// MWAIT follows IA32_MISC_ENABLE, OSXSAVE follows CR4; x2APIC, the TSC-deadline timer (a
/// [`Capability`](super::Capability)) and the hypervisor bit are the VMM's.
const LEAF_1_ECX: u32 = 1 << 3 | 1 << 21 | 1 << 24 | 1 << 27 | 1 << 31;
/// APIC follows IA32_APIC_BASE; HTT is topology.
const LEAF_1_EDX: u32 = 1 << 9 | 1 << 28;
/// OSPKE follows CR4.
const LEAF_7_ECX: u32 = 1 << 4;
/// CmpLegacy is topology.
const EXTENDED_ECX: u32 = 1 << 1;
/// AMD's copy of leaf 1's APIC bit.
const EXTENDED_EDX: u32 = 1 << 9;

pub(super) const WORDS: [FeatureWord; 30] = [
    word(
        1,
        0,
        Ecx,
        LEAF_1_ECX,
        "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - \
         pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c \
         rdrand hypervisor",
    ),
    word(
        1,
        0,
        Edx,
        LEAF_1_EDX,
        "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - \
         dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe",
    ),
    word(6, 0, Eax, 0, "dtherm ida arat - pln - pts"),
    word(
        7,
        0,
        Ebx,
        0,
        "fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm \
         zero_fcs_fds mpx rdt_a avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb \
         intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl",
    ),
    word(
        7,
        0,
        Ecx,
        LEAF_7_ECX,
        "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni \
         avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - \
         movdiri movdir64b enqcmd sgx_lc pks",
    ),
    word(
        7,
        0,
        Edx,
        0,
        "- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect srbds_ctrl md_clear \
         rtm_always_abort - tsx_force_abort serialize hybrid_cpu tsxldtrk - pconfig arch_lbr ibt - \
         amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl intel_stibp flush_l1d arch_capabilities \
         core_capabilities spec_ctrl_ssbd",
    ),
    word(
        7,
        1,
        Eax,
        0,
        "sha512 sm3 sm4 - avx_vnni avx512_bf16 lass cmpccxadd arch_perfmon_ext - fzrm fsrs fsrc - \
         - - - fred lkgs wrmsrns - amx_fp16 hreset avx_ifma - - lam",
    ),
    word(7, 1, Ebx, 0, ""),
    word(7, 1, Ecx, 0, ""),
    word(
        7,
        1,
        Edx,
        0,
        "- - - - avx_vnni_int8 avx_ne_convert - - amx_complex - avx_vnni_int16 - - - prefetchiti - \
         - - - avx10",
    ),
    word(
        7,
        2,
        Edx,
        0,
        "intel_psfd ipred_ctrl rrsba_ctrl ddpd_u bhi_ctrl mcdt_no",
    ),
    word(
        0xd,
        0,
        Eax,
        0,
        "x87 sse avx bndregs bndcsr opmask zmm_hi256 hi16_zmm - pkru - - - - - - - xtilecfg xtiledata",
    ),
    word(0xd, 0, Edx, 0, ""),
    word(0xd, 1, Eax, 0, "xsaveopt xsavec xgetbv1 xsaves xfd"),
    word(
        0xd,
        1,
        Ecx,
        0,
        "- - - - - - - - pt - pasid cet_u cet_s hdc uintr lbr hwp",
    ),
    word(0xd, 1, Edx, 0, ""),
    word(0x12, 0, Eax, 0, "sgx1 sgx2"),
    word(
        FEATURES_LEAF,
        0,
        Eax,
        0,
        "clocksource nop_io_delay mmu_op clocksource2 async_pf steal_time pv_eoi pv_unhalt - \
         pv_tlb_flush async_pf_vmexit pv_send_ipi poll_control pv_sched_yield async_pf_int \
         msi_ext_dest_id hc_map_gpa_range migration_control - - - - - - clocksource_stable",
    ),
    word(
        0x8000_0001,
        0,
        Ecx,
        EXTENDED_ECX,
        "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs \
         xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext \
         ptsc perfctr_llc mwaitx",
    ),
    word(
        0x8000_0001,
        0,
        Edx,
        EXTENDED_EDX,
        "fpu vme de pse tsc msr pae mce cx8 apic - syscall mtrr pge mca cmov pat pse36 - mp nx - \
         mmxext mmx fxsr fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow",
    ),
    word(0x8000_0007, 0, Ebx, 0, "overflow_recov succor - smca"),
    word(
        0x8000_0007,
        0,
        Edx,
        0,
        "- - - - - - - hw_pstate nonstop_tsc cpb - - - - proc_feedback",
    ),
    word(
        0x8000_0008,
        0,
        Ebx,
        0,
        "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - amd_ibpb - amd_ibrs amd_stibp - \
         amd_stibp_always_on - - - - - amd_ppin amd_ssbd virt_ssbd amd_ssb_no cppc amd_psfd btc_no \
         ibpb_ret brs",
    ),
    word(
        0x8000_000a,
        0,
        Edx,
        0,
        "npt lbrv svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists - - pausefilter \
         - pfthreshold avic - v_vmsave_vmload vgif - x2avic",
    ),
    word(0x8000_001b, 0, Eax, 0, ""),
    word(
        0x8000_001f,
        0,
        Eax,
        0,
        "sme sev - sev_es sev_snp - - - - v_tsc_aux sme_coherent",
    ),
    word(
        0x8000_0021,
        0,
        Eax,
        0,
        "no_nested_data_bp - lfence_rdtsc - - - null_sel_clr_base - autoibrs no_smm_ctl_msr - - - \
         - - - - - - - - - - - - - - sbpb ibpb_brtype srso_no",
    ),
    word(0x8000_0021, 0, Ecx, 0, "- tsa_sq_no tsa_l1_no"),
    word(
        0x8000_0022,
        0,
        Eax,
        0,
        "perfmon_v2 amd_lbr_v2 amd_lbr_pmc_freeze",
    ),
    word(
        0xc000_0001,
        0,
        Edx,
        0,
        "- - xstore xstore_en - - xcrypt xcrypt_en ace2 ace2_en phe phe_en pmm pmm_en",
    ),
];
