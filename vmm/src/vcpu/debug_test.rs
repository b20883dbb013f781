use super::*;

const KICK: u64 = 0xffff_ffff_8106_1234;
const CODE: u64 = 0xffff_ffff_8100_0000;
const DATA: u64 = 0xffff_ffff_8200_0008;

fn span(bytes: u64) -> Span {
    Span::new(DATA, bytes).unwrap()
}

fn wants(points: &[Point], stepping: Stepping) -> Debugger {
    Debugger {
        points: points.to_vec(),
        planted: Arc::new(BTreeSet::from([CODE])),
        stepping,
        ..Debugger::default()
    }
}

fn debug(kick_site: Option<u64>, debugger: Debugger) -> GuestDebug {
    let mut debug = GuestDebug::new(kick_site);
    debug.set_debugger(debugger).unwrap();
    debug
}

fn db(dr6: u64) -> kvm_debug_exit_arch {
    kvm_debug_exit_arch {
        exception: DB_VECTOR,
        pc: KICK,
        // As KVM gives it: the reserved bits are 1.
        dr6: dr6 | 0xffff_0ff0,
        ..kvm_debug_exit_arch::default()
    }
}

#[test]
fn nobody_s_wish_is_no_setting() {
    assert_eq!(GuestDebug::new(None).setting(), kvm_guest_debug::default());
}

#[test]
fn the_kick_has_register_0_and_the_debugger_the_rest() {
    let debug = debug(
        Some(KICK),
        wants(
            &[
                Point::Execute(CODE),
                Point::Write(span(8)),
                Point::Access(span(4)),
            ],
            Stepping::Off,
        ),
    );
    let setting = debug.setting();
    let flags = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_USE_SW_BP;
    assert_eq!(setting.control, flags);
    assert_eq!(setting.arch.debugreg[..4], [KICK, CODE, DATA, DATA]);
    // G0 to G3, LEN2 = 8 bytes and R/W2 = write, LEN3 = 4 bytes and R/W3 = access.
    assert_eq!(setting.arch.debugreg[7], 0xf900_0000 | 0x6aa);
}

#[test]
fn without_a_kick_site_the_debugger_has_all_four_registers() {
    let five = [Point::Execute(CODE); 5];
    for (kick_site, free) in [(None, 4), (Some(KICK), 3)] {
        let mut debug = GuestDebug::new(kick_site);
        assert_eq!(debug.free_registers(), free);
        let points = |count: usize| wants(&five[..count], Stepping::Off);
        assert!(debug.set_debugger(points(free + 1)).is_err());
        assert_eq!(debug.debugger(), &Debugger::default());
        assert!(debug.set_debugger(points(free)).is_ok());
    }
}

#[test]
fn a_step_is_asked_for_with_and_without_interrupts() {
    let control = |stepping| {
        let debugger = Debugger {
            stepping,
            ..Debugger::default()
        };
        debug(None, debugger).setting().control
    };
    let step = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
    assert_eq!(control(Stepping::Off), 0);
    assert_eq!(control(Stepping::On), step);
    assert_eq!(
        control(Stepping::WithoutInterrupts),
        step | KVM_GUESTDBG_BLOCKIRQ
    );
}

#[test]
fn every_debug_exception_finds_its_owner() {
    let points = [Point::Execute(CODE), Point::Write(span(1))];
    let running = debug(Some(KICK), wants(&points, Stepping::Off));
    let stepping = debug(Some(KICK), wants(&points, Stepping::On));
    let no_kick = debug(None, wants(&points, Stepping::Off));
    let nobody = GuestDebug::new(None);
    let guests = |dr6| Stop::Guests(Exception::Debug { dr6: db(dr6).dr6 });
    for (debug, dr6, stop) in [
        (&running, 1 << 0, Stop::KickSite),
        (&running, 1 << 1, Stop::HardwareBreak),
        (&running, 1 << 2, Stop::Watch(points[1])),
        // Both at one instruction: the kick's is found again when the debugger goes on.
        (&running, 0b11, Stop::HardwareBreak),
        // The guest's own TF.
        (&running, DR6_BS, guests(DR6_BS)),
        (&stepping, DR6_BS, Stop::Step),
        (&stepping, DR6_BS | 1 << 2, Stop::Watch(points[1])),
        // The step has come to the kick; the kick itself is the next.
        (&stepping, DR6_BS | 1 << 0, Stop::Step),
        (&stepping, 1 << 0, Stop::KickSite),
        (&no_kick, 1 << 0, Stop::HardwareBreak),
        (&no_kick, 1 << 1, Stop::Watch(points[1])),
        (&no_kick, 1 << 3, guests(1 << 3)),
        (&nobody, 1 << 0, guests(1 << 0)),
        (&nobody, 0, guests(0)),
    ] {
        assert_eq!(debug.classify(&db(dr6)), stop, "{debug:?} {dr6:#x}");
    }
}

#[test]
fn an_int3_is_the_debugger_s_only_where_it_planted_one() {
    let debug = debug(Some(KICK), wants(&[], Stepping::Off));
    let bp = |pc| kvm_debug_exit_arch {
        exception: BP_VECTOR,
        pc,
        ..kvm_debug_exit_arch::default()
    };
    assert_eq!(debug.classify(&bp(CODE)), Stop::SoftwareBreak);
    let guests = Stop::Guests(Exception::Breakpoint);
    assert_eq!(debug.classify(&bp(CODE + 1)), guests);
    assert_eq!(GuestDebug::new(None).classify(&bp(CODE)), guests);
}

#[test]
fn a_debug_register_watches_aligned_powers_of_two() {
    for (address, bytes, fits) in [
        (8, 8, true),
        (4, 4, true),
        (2, 2, true),
        (7, 1, true),
        (4, 8, false),
        (2, 4, false),
        (1, 2, false),
        (0, 0, false),
        (0, 3, false),
        (0, 16, false),
        (u64::MAX, 1, true),
        (u64::MAX, 8, false),
    ] {
        assert_eq!(
            Span::new(address, bytes).is_some(),
            fits,
            "{address} {bytes}"
        );
    }
}

#[test]
fn a_port_write_is_a_breakpoint_where_int3_is_none() {
    let mut debugger = wants(&[], Stepping::Off);
    assert!(!debug(None, debugger.clone()).traps_port_out());
    debugger.trap = Trap::PortOut;
    let traps = debug(None, debugger.clone());
    assert!(traps.traps_port_out());
    assert_eq!(traps.setting(), kvm_guest_debug::default());
    debugger.planted = Arc::default();
    assert!(!debug(None, debugger).traps_port_out());
}

#[test]
fn a_breakpoint_at_the_kick_is_told_before_the_kick_is_taken() {
    let mut debugger = wants(&[], Stepping::Off);
    debugger.planted = Arc::new(BTreeSet::from([KICK]));
    let here = debug(Some(KICK), debugger);
    assert_eq!(here.classify(&db(1 << 0)), Stop::SoftwareBreak);
    let elsewhere = debug(Some(KICK), wants(&[], Stepping::Off));
    assert_eq!(elsewhere.classify(&db(1 << 0)), Stop::KickSite);
}
