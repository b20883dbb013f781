use std::sync::Mutex;

use super::*;

const CODE: u64 = 0x2000;
const INT3: u8 = 0xcc;

fn memory() -> GuestMemoryMmap {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x4000)]).unwrap();
    memory
        .write_slice(&[1, 2, 3, 4], GuestAddress(CODE))
        .unwrap();
    memory
}

fn raw(memory: &GuestMemoryMmap) -> [u8; 4] {
    memory.read_obj(GuestAddress(CODE)).unwrap()
}

fn shown(planted: &Planted, memory: &GuestMemoryMmap) -> [u8; 4] {
    let mut bytes = [0; 4];
    planted.read(memory, CODE, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_planted_is_not_seen() {
    let memory = memory();
    let mut planted = Planted::default();
    planted
        .plant(&memory, 0x7001, CODE + 1, Owner::Software)
        .unwrap();
    assert_eq!(raw(&memory), [1, INT3, 3, 4]);
    assert_eq!(shown(&planted, &memory), [1, 2, 3, 4]);
    planted.write(&memory, CODE, &[5, 6, 7]).unwrap();
    assert_eq!(raw(&memory), [5, INT3, 7, 4]);
    assert_eq!(shown(&planted, &memory), [5, 6, 7, 4]);
    assert!(planted.pull(&memory, 0x7001, Owner::Software));
    assert!(!planted.pull(&memory, 0x7001, Owner::Software));
    assert_eq!(raw(&memory), [5, 6, 7, 4]);
}

#[test]
fn two_linear_addresses_of_one_byte_are_one_int3() {
    let memory = memory();
    let mut planted = Planted::default();
    for linear in [0x7001, 0x9001, 0x7001] {
        planted
            .plant(&memory, linear, CODE + 1, Owner::Software)
            .unwrap();
    }
    assert_eq!(planted.addresses().len(), 2);
    assert!(planted.pull(&memory, 0x7001, Owner::Software));
    assert_eq!(raw(&memory), [1, INT3, 3, 4]);
    assert!(planted.pull(&memory, 0x9001, Owner::Software));
    assert_eq!(raw(&memory), [1, 2, 3, 4]);
}

#[test]
fn what_the_guest_writes_over_one_stays() {
    let memory = memory();
    let mut planted = Planted::default();
    planted
        .plant(&memory, 0x7000, CODE, Owner::Software)
        .unwrap();
    memory.write_obj(9_u8, GuestAddress(CODE)).unwrap();
    assert_eq!(shown(&planted, &memory), [9, 2, 3, 4]);
    planted.pull_all(&memory);
    assert_eq!(raw(&memory), [9, 2, 3, 4]);
}

#[test]
fn nothing_is_planted_where_there_is_no_memory() {
    let memory = memory();
    let mut planted = Planted::default();
    assert!(
        planted
            .plant(&memory, 0x7000, 0x4000, Owner::Software)
            .is_err()
    );
    assert!(
        planted
            .plant(&memory, 0x7000, u64::MAX, Owner::Software)
            .is_err()
    );
    assert!(planted.addresses().is_empty());
}

#[test]
fn a_lifted_int3_comes_back() {
    let memory = memory();
    let planted = Mutex::new(Planted::default());
    planted
        .lock()
        .unwrap()
        .plant(&memory, 0x7002, CODE + 2, Owner::Software)
        .unwrap();
    let lifted = Lifted::new(planted.lock().unwrap(), &memory);
    assert_eq!(raw(&memory), [1, 2, 3, 4]);
    drop(lifted);
    assert_eq!(raw(&memory), [1, 2, INT3, 4]);
}

#[test]
fn what_two_need_stays_until_neither_does() {
    let memory = memory();
    let mut planted = Planted::default();
    for owner in [Owner::Software, Owner::Hardware, Owner::Hardware] {
        planted.plant(&memory, 0x7001, CODE + 1, owner).unwrap();
    }
    assert!(!planted.pull(&memory, 0x7001, Owner::Step));
    assert!(planted.pull(&memory, 0x7001, Owner::Hardware));
    assert_eq!(raw(&memory), [1, INT3, 3, 4]);
    assert!(!planted.pull(&memory, 0x7001, Owner::Hardware));
    assert!(planted.pull(&memory, 0x7001, Owner::Software));
    assert_eq!(raw(&memory), [1, 2, 3, 4]);
}
