//! The hypercall page: a way out to the VMM for each number.

use std::fmt;

use guest_payload::abi::xen::{
    HYPERCALL_ENTRIES, HYPERCALL_ENTRY_BYTES, HYPERCALL_IRET, PORT_XEN_HYPERCALL,
};
use serde::{Deserialize, Serialize};

/// How a guest's Xen hypercalls reach the VMM. Its postcard form is part of the snapshot format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HypercallsBy {
    /// By a port that the entries of the hypercall page write: on every host.
    Port,
    /// By Intel's `vmcall`, which KVM hands over (`KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL`). KVM then
    /// takes no hypercall of its own.
    Vmcall,
    /// The same, by AMD's `vmmcall`.
    Vmmcall,
}

impl fmt::Display for HypercallsBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Port => "port",
            Self::Vmcall => "vmcall",
            Self::Vmmcall => "vmmcall",
        })
    }
}

impl HypercallsBy {
    /// The instruction that leaves the guest, which is all that differs.
    const fn instruction(self) -> &'static [u8] {
        match self {
            Self::Port => &[0xe6, PORT_XEN_HYPERCALL],
            Self::Vmcall => &[0x0f, 0x01, 0xc1],
            Self::Vmmcall => &[0x0f, 0x01, 0xd9],
        }
    }
}

/// The entries, and INT3 wherever nothing is to be executed: 4096 bytes.
pub(super) fn hypercall_page(by: HypercallsBy) -> [u8; 4096] {
    const INT3: u8 = 0xcc;
    const UD2: [u8; 2] = [0x0f, 0x0b];
    const RET: u8 = 0xc3;
    let mut page = [INT3; 4096];
    let entries = page.chunks_exact_mut(HYPERCALL_ENTRY_BYTES);
    for (number, entry) in (0..HYPERCALL_ENTRIES).zip(entries) {
        let [a, b, c, d] = u32::to_le_bytes(number);
        let load = [0xb8, a, b, c, d];
        let code: Vec<u8> = match number {
            HYPERCALL_IRET => UD2.to_vec(),
            _ => [&load, by.instruction(), &[RET]].concat(),
        };
        for (to, byte) in entry.iter_mut().zip(code) {
            *to = byte;
        }
    }
    page
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn entry(by: HypercallsBy, number: usize) -> Vec<u8> {
        hypercall_page(by)[32 * number..32 * (number + 1)].to_vec()
    }

    #[test]
    fn an_entry_loads_its_number_and_leaves_the_guest() {
        let by_port = entry(HypercallsBy::Port, 32);
        assert_eq!(by_port[..8], [0xb8, 32, 0, 0, 0, 0xe6, 0xea, 0xc3]);
        assert!(by_port[8..].iter().all(|&byte| byte == 0xcc));
        let by_vmcall = entry(HypercallsBy::Vmcall, 127);
        assert_eq!(by_vmcall[..9], [0xb8, 127, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xc3]);
        let by_vmmcall = entry(HypercallsBy::Vmmcall, 0);
        assert_eq!(by_vmmcall[5..9], [0x0f, 0x01, 0xd9, 0xc3]);
    }

    #[test]
    fn iret_is_no_hypercall_of_an_hvm_guest() {
        assert_eq!(entry(HypercallsBy::Port, 23)[..3], [0x0f, 0x0b, 0xcc]);
    }
}
