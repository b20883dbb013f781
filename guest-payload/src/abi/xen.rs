//! Xen's interface for HVM guests, as far as PV ticket locks need it: CPUID leaves, the hypercall
//! page, event channels with the 2-level bitmaps, and the shared info page.
//!
//! Numbers and layouts are those of Xen's `xen/include/public` (`arch-x86/cpuid.h`, `xen.h`,
//! `event_channel.h`, `sched.h`, `memory.h`, `version.h`, `hvm/hvm_op.h`, `hvm/params.h`) for a
//! 64-bit guest. What `vmm run --xen` answers to each: `docs/reference/xen.md`.

use core::sync::atomic::{AtomicU8, AtomicU64};

/// CPUID leaf of Xen's signature: EBX, ECX, EDX = [`SIGNATURE`], EAX = the highest leaf.
pub const CPUID_BASE: u32 = 0x4000_0000;
/// "XenVMMXenVMM" in EBX, ECX, EDX.
pub const SIGNATURE: [u32; 3] = [
    u32::from_le_bytes(*b"XenV"),
    u32::from_le_bytes(*b"MMXe"),
    u32::from_le_bytes(*b"nVMM"),
];
/// Offset of the leaf of the version: EAX = major << 16 | minor.
pub const LEAF_VERSION: u32 = 1;
/// Offset of the leaf of the hypercall page: EAX = pages, EBX = the MSR that takes its address.
pub const LEAF_HYPERCALL_PAGE: u32 = 2;
/// Offset of the leaf of the time: all 0 here, no promise.
pub const LEAF_TIME: u32 = 3;
/// Offset of the leaf of HVM features: EAX = bits, EBX = the vCPU's ID.
pub const LEAF_HVM: u32 = 4;
/// `XEN_HVM_CPUID_VCPU_ID_PRESENT`: EBX of [`LEAF_HVM`] is this vCPU's ID for hypercalls.
pub const HVM_VCPU_ID_PRESENT: u32 = 1 << 3;
/// How far KVM's own leaves are behind Xen's, as under KVM and QEMU.
pub const KVM_LEAVES_OFFSET: u32 = 0x100;

/// The version that is shown: 4.17, major << 16 | minor.
pub const VERSION: u32 = 4 << 16 | 17;
/// MSR that takes the guest-physical address of the hypercall page; its low 12 bits are the number
/// of the page and must be 0.
pub const MSR_HYPERCALL_PAGE: u32 = 0x4000_0000;
/// Bytes of one entry of the hypercall page; the entry of hypercall n is at n times this.
pub const HYPERCALL_ENTRY_BYTES: usize = 32;
/// Entries of the hypercall page.
pub const HYPERCALL_ENTRIES: u32 = 128;
/// `__HYPERVISOR_iret`: no HVM guest may call it, its entry is `ud2`.
pub const HYPERCALL_IRET: u32 = 23;
/// Port that the entries of the hypercall page write (`out imm8, al`) where the VMM fills it:
/// registers as for Xen's `vmcall`.
pub const PORT_XEN_HYPERCALL: u8 = 0xea;

/// Number of `memory_op`.
pub const HYPERCALL_MEMORY_OP: u32 = 12;
/// Number of `xen_version`.
pub const HYPERCALL_XEN_VERSION: u32 = 17;
/// Number of `sched_op`.
pub const HYPERCALL_SCHED_OP: u32 = 29;
/// Number of `event_channel_op`.
pub const HYPERCALL_EVENT_CHANNEL_OP: u32 = 32;
/// Number of `hvm_op`.
pub const HYPERCALL_HVM_OP: u32 = 34;

/// `XENMEM_add_to_physmap`, argument [`AddToPhysmap`].
pub const MEMORY_ADD_TO_PHYSMAP: u64 = 7;
/// `XENMAPSPACE_shared_info`.
pub const MAPSPACE_SHARED_INFO: u32 = 0;

/// `XENVER_version`: the answer is [`VERSION`].
pub const VERSION_VERSION: u64 = 0;
/// `XENVER_extraversion`: [`EXTRAVERSION_BYTES`] of text.
pub const VERSION_EXTRAVERSION: u64 = 1;
/// `XENVER_get_features`, argument [`FeatureInfo`].
pub const VERSION_GET_FEATURES: u64 = 6;
/// `XENVER_pagesize`: the answer is 4096.
pub const VERSION_PAGESIZE: u64 = 7;
/// Length of `xen_extraversion_t`.
pub const EXTRAVERSION_BYTES: usize = 16;
/// `XENFEAT_writable_page_tables` and `XENFEAT_auto_translated_physmap`: what every HVM guest has.
pub const FEATURES: u32 = 1 << 0 | 1 << 2;

/// `SCHEDOP_yield`, no argument.
pub const SCHED_YIELD: u64 = 0;
/// `SCHEDOP_poll`, argument [`SchedPoll`].
pub const SCHED_POLL: u64 = 3;
/// The most ports of one `SCHEDOP_poll`.
pub const POLL_PORTS_MAX: u32 = 128;

/// `EVTCHNOP_close`, argument [`EventPort`].
pub const EVENT_CLOSE: u64 = 3;
/// `EVTCHNOP_send`, argument [`EventPort`].
pub const EVENT_SEND: u64 = 4;
/// `EVTCHNOP_status`, argument [`EventStatus`].
pub const EVENT_STATUS: u64 = 5;
/// `EVTCHNOP_bind_ipi`, argument [`BindIpi`].
pub const EVENT_BIND_IPI: u64 = 7;
/// `EVTCHNOP_unmask`, argument [`EventPort`].
pub const EVENT_UNMASK: u64 = 9;
/// `EVTCHNSTAT_closed`.
pub const STATUS_CLOSED: u32 = 0;
/// `EVTCHNSTAT_ipi`.
pub const STATUS_IPI: u32 = 5;

/// `HVMOP_set_param`, argument [`HvmParam`].
pub const HVM_SET_PARAM: u64 = 0;
/// `HVMOP_get_param`, argument [`HvmParam`].
pub const HVM_GET_PARAM: u64 = 1;
/// `HVM_PARAM_CALLBACK_IRQ`: how upcalls are to be delivered.
pub const HVM_PARAM_CALLBACK_IRQ: u32 = 0;

/// `DOMID_SELF`: the caller's own domain.
pub const DOMID_SELF: u16 = 0x7ff0;

/// Answers other than 0 and above, negated as they are returned.
pub mod errno {
    /// No such thing.
    pub const ENOENT: i64 = 2;
    /// No such domain.
    pub const ESRCH: i64 = 3;
    /// The caller is not at CPL 0.
    pub const EPERM: i64 = 1;
    /// An argument is not in the caller's memory.
    pub const EFAULT: i64 = 14;
    /// A bad argument.
    pub const EINVAL: i64 = 22;
    /// Every port is taken.
    pub const ENOSPC: i64 = 28;
    /// Not implemented.
    pub const ENOSYS: i64 = 38;
}

/// Words of an event bitmap.
pub const EVENT_WORDS: usize = 64;
/// Event channels of the 2-level ABI, 64 bits; port 0 is nobody's.
pub const EVENT_PORTS: u32 = 4096;
/// vCPUs whose [`VcpuInfo`] is in the shared info page.
pub const SHARED_VCPUS: usize = 32;

/// `struct vcpu_info`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct VcpuInfo {
    /// Not 0: an event that is not masked is pending.
    pub evtchn_upcall_pending: AtomicU8,
    /// Not 0: the guest wants no upcall.
    pub evtchn_upcall_mask: AtomicU8,
    /// Aligns what follows.
    pub reserved: [u8; 6],
    /// The words of `evtchn_pending` to look into, one bit each.
    pub evtchn_pending_sel: AtomicU64,
    /// `arch_vcpu_info` and `vcpu_time_info`: not used.
    pub arch_and_time: [u64; 6],
}

/// `struct shared_info` of a 64-bit guest, one page that the guest asked for.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct SharedInfo {
    /// By vCPU ID.
    pub vcpu_info: [VcpuInfo; SHARED_VCPUS],
    /// Bit = port: an event is pending.
    pub evtchn_pending: [AtomicU64; EVENT_WORDS],
    /// Bit = port: the event causes no upcall.
    pub evtchn_mask: [AtomicU64; EVENT_WORDS],
    /// Wall clock and `arch_shared_info`: not used.
    pub rest: [u64; 128],
}

/// `struct evtchn_send`, `evtchn_close` and `evtchn_unmask`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventPort {
    /// The port.
    pub port: u32,
}

/// `struct evtchn_bind_ipi`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BindIpi {
    /// In: the vCPU's ID.
    pub vcpu: u32,
    /// Out: the port.
    pub port: u32,
}

/// `struct evtchn_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventStatus {
    /// In: [`DOMID_SELF`].
    pub dom: u16,
    /// In: the port.
    pub port: u32,
    /// Out: `STATUS_*`.
    pub status: u32,
    /// Out: the vCPU that the port is bound to.
    pub vcpu: u32,
    /// Out: nothing for these kinds.
    pub detail: [u32; 2],
}

/// `struct sched_poll`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SchedPoll {
    /// Linear address of `nr_ports` ports of 32 bits.
    pub ports: u64,
    /// How many, at most [`POLL_PORTS_MAX`].
    pub nr_ports: u32,
    /// Aligns what follows.
    pub reserved: u32,
    /// Must be 0: no timed poll.
    pub timeout: u64,
}

/// `struct xen_add_to_physmap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AddToPhysmap {
    /// [`DOMID_SELF`].
    pub domid: u16,
    /// For ranges only.
    pub size: u16,
    /// `XENMAPSPACE_*`.
    pub space: u32,
    /// Which page of that space.
    pub idx: u64,
    /// Number of the guest's page.
    pub gpfn: u64,
}

/// `struct xen_hvm_param`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct HvmParam {
    /// [`DOMID_SELF`].
    pub domid: u16,
    /// Aligns what follows.
    pub reserved: u16,
    /// `HVM_PARAM_*`.
    pub index: u32,
    /// In or out.
    pub value: u64,
}

/// `struct xen_feature_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FeatureInfo {
    /// In: which 32 of the features.
    pub submap_idx: u32,
    /// Out: these.
    pub submap: u32,
}

// The layouts, against the sizes and offsets that Xen's headers give a 64-bit guest.
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<VcpuInfo>() == 64 && offset_of!(VcpuInfo, evtchn_pending_sel) == 8);
    assert!(size_of::<SharedInfo>() == 4096);
    assert!(offset_of!(SharedInfo, evtchn_pending) == 2048);
    assert!(offset_of!(SharedInfo, evtchn_mask) == 2560);
    assert!(size_of::<BindIpi>() == 8 && size_of::<EventStatus>() == 24);
    assert!(offset_of!(EventStatus, port) == 4 && offset_of!(EventStatus, status) == 8);
    assert!(size_of::<SchedPoll>() == 24 && offset_of!(SchedPoll, timeout) == 16);
    assert!(size_of::<AddToPhysmap>() == 24 && offset_of!(AddToPhysmap, gpfn) == 16);
    assert!(size_of::<HvmParam>() == 16 && offset_of!(HvmParam, value) == 8);
    assert!(size_of::<FeatureInfo>() == 8);
};
