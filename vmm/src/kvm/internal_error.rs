//! `kvm_run.internal`: why KVM itself cannot go on.

use kvm_bindings::{KVM_INTERNAL_ERROR_EMULATION, kvm_run};

/// `KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES` of `linux/kvm.h`.
const FLAG_INSTRUCTION_BYTES: u64 = 1 << 0;
const MAX_BYTES: usize = 15;

/// What a `KVM_EXIT_INTERNAL_ERROR` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InternalError {
    /// An instruction that KVM has to emulate and cannot.
    Emulation {
        /// The bytes at RIP, where KVM reports them.
        instruction_bytes: Vec<u8>,
    },
    /// Anything else.
    Other {
        /// `KVM_INTERNAL_ERROR_*`.
        suberror: u32,
    },
}

/// Reads it after an exit with that reason.
pub fn read(run: &kvm_run) -> InternalError {
    // SAFETY: `internal` is all integers, for which any bits are valid; after another exit they
    // only mean nothing.
    let internal = unsafe { run.__bindgen_anon_1.internal };
    if internal.suberror != KVM_INTERNAL_ERROR_EMULATION {
        return InternalError::Other {
            suberror: internal.suberror,
        };
    }
    let reports_bytes = internal.ndata >= 3 && internal.data[0] & FLAG_INSTRUCTION_BYTES != 0;
    InternalError::Emulation {
        instruction_bytes: if reports_bytes {
            instruction_bytes(internal.data[1], internal.data[2])
        } else {
            Vec::new()
        },
    }
}

/// As `struct emulation_failure` has it: one byte of size, then 15 bytes of instruction.
fn instruction_bytes(low: u64, high: u64) -> Vec<u8> {
    let mut bytes = [0_u8; 16];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..].copy_from_slice(&high.to_le_bytes());
    let size = usize::from(bytes[0]).min(MAX_BYTES);
    bytes[1..=size].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_byte_bounds_the_instruction() {
        assert_eq!(instruction_bytes(0x00c0_b80f_f303, 0), [0xf3, 0x0f, 0xb8]);
        assert!(instruction_bytes(0, 0).is_empty());
        assert_eq!(instruction_bytes(u64::MAX, u64::MAX).len(), MAX_BYTES);
    }
}
