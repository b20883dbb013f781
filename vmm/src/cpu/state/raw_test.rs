use kvm_bindings::{kvm_msr_entry, kvm_regs};

use super::*;

type Msrs = RawList<kvm_msr_entry, 3>;

fn msr(index: u32, data: u64) -> kvm_msr_entry {
    kvm_msr_entry {
        index,
        data,
        ..Default::default()
    }
}

#[test]
fn a_structure_is_its_bytes_after_their_number() {
    let regs = Raw(kvm_regs {
        rax: 0x1122_3344_5566_7788,
        ..Default::default()
    });
    let bytes = postcard::to_stdvec(&regs).unwrap();
    assert_eq!(bytes.len(), 2 + 18 * 8);
    assert_eq!(bytes[..2], [0x90, 0x01]);
    assert_eq!(
        bytes[2..10],
        [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]
    );
    assert_eq!(postcard::from_bytes::<Raw<kvm_regs>>(&bytes).unwrap(), regs);
}

#[test]
fn a_wrong_length_is_an_error() {
    for length in [0, 143, 145] {
        let bytes =
            postcard::to_stdvec(&RawList::<u8, 200>::new(vec![0; length]).unwrap()).unwrap();
        assert!(
            postcard::from_bytes::<Raw<kvm_regs>>(&bytes).is_err(),
            "{length}"
        );
    }
}

#[test]
fn a_list_is_bounded_on_both_ways() {
    let three = Msrs::new(vec![msr(1, 2), msr(3, 4), msr(5, 6)]).unwrap();
    let bytes = postcard::to_stdvec(&three).unwrap();
    assert_eq!(bytes[0], 48);
    assert_eq!(postcard::from_bytes::<Msrs>(&bytes).unwrap(), three);
    assert!(Msrs::new(vec![msr(1, 2); 4]).is_none());
    assert!(postcard::from_bytes::<RawList<kvm_msr_entry, 2>>(&bytes).is_err());
    let odd = postcard::to_stdvec(&RawList::<u8, 99>::new(vec![0; 17]).unwrap()).unwrap();
    assert!(postcard::from_bytes::<Msrs>(&odd).is_err());
}
