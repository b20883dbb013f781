//! Which vCPUs a kick is for: APIC ID matching as KVM does it.
//!
//! `KVM_HC_KICK_CPU` is an APIC message in physical destination mode without a source APIC
//! (`kvm_pv_kick_cpu_op`, arch/x86/kvm/x86.c). Who takes it is decided in arch/x86/kvm/lapic.c:
//! `kvm_apic_is_broadcast_dest` picks out the broadcasts, `kvm_recalculate_phys_map` holds one
//! vCPU per ID for everything else, and `kvm_apic_match_physical_addr` is asked vCPU by vCPU for
//! a broadcast. With the source absent the message counts as coming from a device, not from a
//! vCPU, which is what makes 0xff a broadcast even for x2APIC (`kvm_apic_mda`).
//!
//! An xAPIC ID is taken to be the low 8 bits of the x2APIC ID: a guest that rewrites its xAPIC ID
//! is not followed, as processors since the Pentium 4 do not promise that they can
//! (SDM vol. 3A, "Local APIC ID").

/// The index of a vCPU within its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VcpuIndex(pub u32);

impl VcpuIndex {
    /// Its place in tables by index.
    pub fn place(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The mode of a vCPU's local APIC, from its `IA32_APIC_BASE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicMode {
    /// Enable bit clear: no message reaches it (`kvm_apic_present`).
    Disabled,
    /// 8-bit ID. The mode after reset.
    XApic,
    /// 32-bit ID.
    X2Apic,
}

/// Whether 0xff, as a destination, is a broadcast for local APICs in x2APIC mode too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BroadcastQuirk {
    /// It is, and 0xffffffff is nobody. KVM's default.
    Enabled,
    /// It is not, and 0xffffffff is their broadcast: `KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK`.
    Disabled,
}

/// Destination that xAPIC mode takes as "all".
pub const XAPIC_BROADCAST: u32 = 0xff;
/// Destination that x2APIC mode takes as "all".
pub const X2APIC_BROADCAST: u32 = 0xffff_ffff;

/// The target of a kick, as KVM takes it from the hypercall's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination(u32);

impl Destination {
    /// From argument `a1` (RCX): `kvm_pv_kick_cpu_op` takes an `int`, so the high half is dropped.
    #[expect(clippy::cast_possible_truncation, reason = "KVM truncates it")]
    pub const fn from_a1(a1: u64) -> Self {
        Self(a1 as u32)
    }

    /// As an APIC ID, were it one.
    pub fn apic_id(self) -> u32 {
        self.0
    }
}

/// Who a kick is for.
#[derive(Clone, Debug)]
pub enum Targets<'a, M> {
    /// No vCPU has this ID.
    Nobody,
    /// One vCPU.
    One(VcpuIndex),
    /// Every vCPU this iterator gives, which can be none.
    Broadcast(Broadcast<'a, M>),
}

/// APIC IDs that a table cannot be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two vCPUs have one ID.
    #[error(
        "APIC ID {apic_id} belongs to vCPU {first} and to vCPU {second}; every vCPU needs its own"
    )]
    Repeated {
        /// The ID.
        apic_id: u32,
        /// One of them.
        first: u32,
        /// The other.
        second: u32,
    },
    /// An ID is the broadcast.
    #[error("vCPU {vcpu}: APIC ID 0xffffffff is the broadcast and cannot be one vCPU's")]
    IsBroadcast {
        /// The vCPU.
        vcpu: u32,
    },
}

/// The APIC IDs of a machine's vCPUs. Looked up by binary search; an ID is never an index.
#[derive(Clone, Debug)]
pub struct ApicIds {
    /// Sorted by ID.
    entries: Box<[Entry]>,
    quirk: BroadcastQuirk,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    apic_id: u32,
    vcpu: VcpuIndex,
}

impl ApicIds {
    /// The table of vCPUs 0, 1, 2, ... with these IDs, in this order.
    ///
    /// # Errors
    /// [`Error`] where an ID is not a vCPU's own.
    pub fn new(
        apic_ids: impl IntoIterator<Item = u32>,
        quirk: BroadcastQuirk,
    ) -> Result<Self, Error> {
        let mut entries: Vec<Entry> = (0..)
            .zip(apic_ids)
            .map(|(index, apic_id)| Entry {
                apic_id,
                vcpu: VcpuIndex(index),
            })
            .collect();
        entries.sort_by_key(|entry| (entry.apic_id, entry.vcpu));
        for pair in entries.windows(2) {
            if pair[0].apic_id == pair[1].apic_id {
                return Err(Error::Repeated {
                    apic_id: pair[0].apic_id,
                    first: pair[0].vcpu.0,
                    second: pair[1].vcpu.0,
                });
            }
        }
        match entries.last() {
            Some(last) if last.apic_id == X2APIC_BROADCAST => {
                Err(Error::IsBroadcast { vcpu: last.vcpu.0 })
            }
            _ => Ok(Self {
                entries: entries.into_boxed_slice(),
                quirk,
            }),
        }
    }

    /// The vCPU whose x2APIC ID is `apic_id`, whatever its mode.
    pub fn vcpu(&self, apic_id: u32) -> Option<VcpuIndex> {
        let at = self
            .entries
            .binary_search_by_key(&apic_id, |entry| entry.apic_id)
            .ok()?;
        Some(self.entries[at].vcpu)
    }

    /// The vCPUs a kick to `destination` reaches. `mode_of` tells each vCPU's mode now.
    ///
    /// One differing case is left in, where a VM has the broadcast quirk disabled and is on its
    /// way from xAPIC to x2APIC: KVM delivers 0xff as an ID once every *software-enabled* local
    /// APIC is in x2APIC mode, we once every one is. Until then a vCPU that waits for its SIPI can
    /// get a kick here that KVM would have dropped; a spurious kick is legal.
    pub fn targets<M>(&self, destination: Destination, mode_of: M) -> Targets<'_, M>
    where
        M: Fn(VcpuIndex) -> ApicMode,
    {
        let reach = match (destination.0, self.quirk) {
            (XAPIC_BROADCAST, BroadcastQuirk::Enabled) => Reach::Both,
            (XAPIC_BROADCAST, BroadcastQuirk::Disabled) if self.any_xapic(&mode_of) => {
                Reach::XApicAndId255
            }
            (X2APIC_BROADCAST, BroadcastQuirk::Disabled) => Reach::X2Apic,
            (id, _) => {
                return self.one(id, mode_of).map_or(Targets::Nobody, Targets::One);
            }
        };
        Targets::Broadcast(Broadcast {
            entries: self.entries.iter(),
            mode_of,
            reach,
        })
    }

    /// The vCPUs that an interrupt command of a vCPU in mode `sender` reaches, in physical
    /// destination mode. With a source the mode of the sender says what a broadcast is, and 0xff
    /// is one for xAPIC mode only (`kvm_apic_is_broadcast_dest`, `kvm_apic_mda`).
    ///
    /// With the quirk disabled KVM takes 0xff as an ID once every software-enabled local APIC is in
    /// x2APIC mode. Those that have not been started are not enabled, and a kernel switches each
    /// before it enables it; so a sender in x2APIC mode says that all are. Else its INIT for ID 255
    /// would start every vCPU that still waits, and the INIT of its own would start it again.
    pub fn ipi_targets<M>(
        &self,
        destination: Destination,
        sender: ApicMode,
        mode_of: M,
    ) -> Targets<'_, M>
    where
        M: Fn(VcpuIndex) -> ApicMode,
    {
        let reach = match (self.quirk, destination.0, sender) {
            (BroadcastQuirk::Disabled, XAPIC_BROADCAST, ApicMode::X2Apic) => {
                return self
                    .one(XAPIC_BROADCAST, mode_of)
                    .map_or(Targets::Nobody, Targets::One);
            }
            (BroadcastQuirk::Disabled, _, _) => return self.targets(destination, mode_of),
            (_, X2APIC_BROADCAST, ApicMode::X2Apic) => Reach::X2Apic,
            (_, XAPIC_BROADCAST, ApicMode::XApic) => Reach::XApicAndId255,
            (_, id, _) => return self.one(id, mode_of).map_or(Targets::Nobody, Targets::One),
        };
        Targets::Broadcast(Broadcast {
            entries: self.entries.iter(),
            mode_of,
            reach,
        })
    }

    /// The one vCPU that `kvm_recalculate_phys_map` enters for `id`, with
    /// `KVM_X2APIC_API_USE_32BIT_IDS`.
    fn one(&self, id: u32, mode_of: impl Fn(VcpuIndex) -> ApicMode) -> Option<VcpuIndex> {
        let exact = self.vcpu(id).map(|vcpu| (vcpu, mode_of(vcpu)));
        match exact {
            // In x2APIC mode the whole ID counts. Above 0xff it does in xAPIC mode too: KVM's
            // "hotplug hack", the only way to reach a vCPU that has not been started yet.
            Some((vcpu, ApicMode::X2Apic)) => return Some(vcpu),
            Some((vcpu, ApicMode::XApic)) if id > 0xff => return Some(vcpu),
            _ if id > 0xff => return None,
            _ => {}
        }
        // In xAPIC mode an ID above 0xff answers to its low 8 bits, and the vCPU that was created
        // first keeps an ID that several answer to.
        let exact = exact
            .filter(|(_, mode)| *mode == ApicMode::XApic)
            .map(|(vcpu, _)| vcpu);
        let wide = self.entries.partition_point(|entry| entry.apic_id <= 0xff);
        self.entries[wide..]
            .iter()
            .filter(|entry| entry.apic_id & 0xff == id && mode_of(entry.vcpu) == ApicMode::XApic)
            .map(|entry| entry.vcpu)
            .chain(exact)
            .min()
    }

    fn any_xapic(&self, mode_of: impl Fn(VcpuIndex) -> ApicMode) -> bool {
        self.entries
            .iter()
            .any(|entry| mode_of(entry.vcpu) == ApicMode::XApic)
    }
}

/// The vCPUs of a broadcast, in order of their APIC IDs. See [`Targets::Broadcast`].
#[derive(Clone, Debug)]
pub struct Broadcast<'a, M> {
    entries: std::slice::Iter<'a, Entry>,
    mode_of: M,
    reach: Reach,
}

/// Which modes a broadcast reaches (`kvm_apic_match_physical_addr`).
#[derive(Clone, Copy, Debug)]
enum Reach {
    /// Both: 0xff with the quirk.
    Both,
    /// xAPIC mode; to x2APIC mode 0xff is an ID as any other.
    XApicAndId255,
    /// x2APIC mode.
    X2Apic,
}

impl<M: Fn(VcpuIndex) -> ApicMode> Iterator for Broadcast<'_, M> {
    type Item = VcpuIndex;

    fn next(&mut self) -> Option<VcpuIndex> {
        let (mode_of, reach) = (&self.mode_of, self.reach);
        self.entries
            .find(|entry| match (reach, mode_of(entry.vcpu)) {
                (_, ApicMode::Disabled) => false,
                (Reach::Both, ApicMode::XApic | ApicMode::X2Apic) => true,
                (Reach::XApicAndId255, ApicMode::XApic) => true,
                (Reach::XApicAndId255, ApicMode::X2Apic) => entry.apic_id == XAPIC_BROADCAST,
                (Reach::X2Apic, mode) => mode == ApicMode::X2Apic,
            })
            .map(|entry| entry.vcpu)
    }
}

#[cfg(test)]
#[path = "apic_id_test.rs"]
mod tests;
