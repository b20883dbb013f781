use proptest::prelude::*;

use super::*;

/// A state whose every field has another value; the same on any host.
fn example() -> KvmVcpuState {
    let mut state = KvmVcpuState::blank();
    state.mp_state = MpState::Halted;
    state.pv_unhalted = true;
    state.cpuid = RawList::new(vec![kvm_cpuid_entry2 {
        function: 0x4000_0001,
        eax: 0x80,
        ..Default::default()
    }])
    .unwrap();
    state.tsc_khz = Some(2_000_000);
    state.tsc = Tsc::Offset(0u64.wrapping_sub(5));
    state.sregs.0.cr3 = 0x3000;
    state.regs.0.rip = 0x10_0000;
    state.xcrs.0.nr_xcrs = 1;
    state.xcrs.0.xcrs[0].value = 7;
    state.xsave = RawList::new((0..=255).cycle().take(4096).collect()).unwrap();
    state.debugregs.0.dr7 = 0x400;
    state.lapic = Some(Raw::default());
    state.lapic.as_mut().unwrap().0.regs[0x20] = 3;
    state.msrs = RawList::new(vec![kvm_msr_entry {
        index: 0x277,
        data: 6,
        ..Default::default()
    }])
    .unwrap();
    state.tsc_deadline = Some(77);
    state.vcpu_events.0.nmi.pending = 1;
    state
}

/// Format version 1. If this fails, old snapshots cannot be read: do not change the numbers.
#[test]
fn the_wire_form_is_that_of_version_1() {
    let bytes = postcard::to_stdvec(&example()).unwrap();
    assert_eq!((bytes.len(), crc32fast::hash(&bytes)), (6251, 0x4aa7_91cb));
    assert_eq!(
        postcard::from_bytes::<KvmVcpuState>(&bytes).unwrap(),
        example()
    );
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = postcard::to_stdvec(&example()).unwrap();
    for length in 0..bytes.len() {
        assert!(postcard::from_bytes::<KvmVcpuState>(&bytes[..length]).is_err());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..8192)) {
        let _ = postcard::from_bytes::<KvmVcpuState>(&bytes);
    }

    #[test]
    fn no_damage_makes_it_panic_or_grow(at in 0usize..6000, byte: u8) {
        let mut bytes = postcard::to_stdvec(&example()).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(state) = postcard::from_bytes::<KvmVcpuState>(&bytes) {
            prop_assert!(state.xsave.as_slice().len() <= bytes.len());
            prop_assert!(state.msrs.as_slice().len() * 16 <= bytes.len());
        }
    }
}
