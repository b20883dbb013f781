use std::collections::HashSet;

use super::*;

/// Every register with a value of its own.
fn distinct() -> VcpuRegisters {
    let mut vcpu = VcpuRegisters::default();
    for (number, register) in (1..).zip(Register::all()) {
        let value: Vec<u8> = (0..register.bytes()).map(|_| number).collect();
        if !matches!(register, Register::Selector(_)) {
            vcpu.set(register, &value).unwrap();
        }
    }
    vcpu
}

#[test]
fn each_register_has_a_number_a_name_and_a_place() {
    let names: HashSet<_> = Register::all().map(Register::name).collect();
    assert_eq!(names.len(), COUNT);
    assert_eq!(Register::numbered(COUNT), None);
    let vcpu = distinct();
    for (number, register) in (1..).zip(Register::all()) {
        match register {
            Register::Selector(_) => {}
            // Derived from what the registers hold; see x87.
            Register::X87(_) => {}
            _ => {
                let bytes = register.bytes();
                assert_eq!(
                    vcpu.get(register)[..bytes],
                    vec![number; bytes],
                    "{register:?}"
                );
            }
        }
    }
}

#[test]
fn all_registers_go_to_gdb_and_come_back() {
    let vcpu = distinct();
    let all = AllRegisters::from(&vcpu);
    let mut packet = Vec::new();
    all.gdb_serialize(|byte| packet.push(byte.unwrap()));
    assert_eq!(
        packet.len(),
        Register::all().map(Register::bytes).sum::<usize>()
    );
    assert_eq!(all.pc(), vcpu.regs.rip);
    let mut back = AllRegisters::default();
    back.gdb_deserialize(&packet).unwrap();
    let mut other = VcpuRegisters::default();
    back.give_to(&mut other).unwrap();
    for register in Register::all() {
        if register != Register::X87(x87::Field::Tag) {
            assert_eq!(other.get(register), vcpu.get(register), "{register:?}");
        }
    }
}

#[test]
fn a_packet_that_is_too_short_is_refused() {
    let mut vcpu = VcpuRegisters::default();
    let mut all = AllRegisters::default();
    assert_eq!(all.pc(), 0);
    for bytes in [0, 1, 7, 8, 100] {
        all.gdb_deserialize(&vec![0; bytes]).unwrap();
        assert_eq!(all.give_to(&mut vcpu), Err(Refused));
    }
}

#[test]
fn a_selector_may_only_be_set_to_what_it_is() {
    let mut vcpu = VcpuRegisters::default();
    vcpu.sregs.cs.selector = 8;
    assert_eq!(vcpu.set(Register::Selector(0), &[8, 0, 0, 0]), Ok(()));
    assert_eq!(
        vcpu.set(Register::Selector(0), &[16, 0, 0, 0]),
        Err(Refused)
    );
    assert_eq!(vcpu.set(Register::Selector(0), &[8, 0]), Err(Refused));
}

#[test]
fn the_description_is_in_the_order_of_the_numbers() {
    let xml = describe::xml();
    let described: Vec<_> = xml
        .split("<reg name=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    let numbered: Vec<_> = Register::all().map(Register::name).collect();
    assert_eq!(described, numbered);
    assert_eq!(
        xml.matches("<feature ").count(),
        xml.matches("</feature>").count()
    );
}
