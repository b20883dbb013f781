use super::*;

/// A state as far from the wanted one as it gets.
fn dirty() -> kvm_sregs {
    let segment = kvm_segment {
        base: 0x1234,
        limit: 7,
        selector: 0xffff,
        type_: 1,
        dpl: 3,
        l: 1,
        avl: 1,
        unusable: 1,
        ..Default::default()
    };
    kvm_sregs {
        cs: segment,
        ds: segment,
        es: segment,
        fs: segment,
        gs: segment,
        ss: segment,
        tr: segment,
        ldt: segment,
        cr0: u64::MAX,
        cr2: 1,
        cr3: 0x1000,
        cr4: u64::MAX,
        cr8: 3,
        efer: 0x500,
        apic_base: 0xfee0_0900,
        ..Default::default()
    }
}

#[test]
fn a_pvh_guest_starts_as_its_specification_says() {
    let mut sregs = dirty();
    set_pvh_sregs(&mut sregs);
    let regs = pvh_regs(0x10_0040, 0x6000);

    assert_eq!((regs.rip, regs.rbx), (0x10_0040, 0x6000));
    assert_eq!(regs.rflags & (1 << 17 | 1 << 9 | 1 << 8), 0, "VM, IF, TF");
    assert_eq!(sregs.cr0 & !(1 << 4), 1, "PE alone");
    assert_eq!((sregs.cr4, sregs.efer), (0, 0));
    for segment in [sregs.cs, sregs.ds, sregs.es, sregs.ss] {
        assert_eq!((segment.base, segment.limit), (0, 0xffff_ffff));
        let flags = (segment.present, segment.s, segment.db, segment.g);
        assert_eq!(flags, (1, 1, 1, 1));
        assert_eq!((segment.l, segment.dpl, segment.unusable), (0, 0, 0));
    }
    assert_eq!(
        (sregs.tr.base, sregs.tr.limit, sregs.tr.type_),
        (0, 0x67, 0xb)
    );
    assert_eq!(sregs.apic_base, 0xfee0_0900);
}

#[test]
fn a_sipi_starts_in_real_mode_at_its_vector() {
    for vector in [0, 0x8, 0x9f, 0xff] {
        let mut sregs = dirty();
        set_sipi_sregs(&mut sregs, vector);
        assert_eq!(sregs.cs.base, u64::from(vector) << 12);
        assert_eq!(sregs.cs.selector, u16::from(vector) << 8);
        assert_eq!(sregs.cr0, 0x6000_0010);
        assert_eq!((sregs.cr3, sregs.cr4, sregs.efer), (0, 0, 0));
        for segment in [sregs.cs, sregs.ds, sregs.ss, sregs.tr, sregs.ldt] {
            assert_eq!(
                (segment.limit, segment.dpl, segment.unusable),
                (0xffff, 0, 0)
            );
        }
        assert_eq!((sregs.ds.base, sregs.ds.selector), (0, 0));
        assert_eq!(sregs.apic_base, 0xfee0_0900);
    }
    let regs = sipi_regs(0x806f8);
    assert_eq!((regs.rip, regs.rdx, regs.rflags), (0, 0x806f8, 2));
}

#[test]
fn this_hosts_kvm_takes_both() {
    let Ok(kvm) = kvm_ioctls::Kvm::new() else {
        eprintln!("skipped: /dev/kvm cannot be opened");
        return;
    };
    let vm = kvm.create_vm().unwrap();
    let vcpu = vm.create_vcpu(0).unwrap();
    let mut sregs = vcpu.get_sregs().unwrap();
    set_pvh_sregs(&mut sregs);
    vcpu.set_sregs(&sregs).unwrap();
    vcpu.set_regs(&pvh_regs(0x10_0000, 0x6000)).unwrap();
    assert_eq!(vcpu.get_sregs().unwrap().cr0 & 1, 1);
    set_sipi_sregs(&mut sregs, 0x8);
    vcpu.set_sregs(&sregs).unwrap();
    vcpu.set_regs(&sipi_regs(0)).unwrap();
    assert_eq!(vcpu.get_sregs().unwrap().cs.base, 0x8000);
}
