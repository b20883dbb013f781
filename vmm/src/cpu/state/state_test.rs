use kvm_bindings::{KVM_CAP_EXCEPTION_PAYLOAD, KVM_VCPUEVENT_VALID_PAYLOAD};

use super::busy_vcpu::{FAR_AWAY, Machine, Shape, busy, restored_and_saved};
use super::order::RESTORING;
use super::restore::restore_in;
use super::*;
use crate::cpu::pv_leaves::LocalApics;
use crate::host::tiny_vm::{DATA, Exit};
use crate::kvm::attr;

#[test]
fn what_is_restored_is_saved_again() {
    for shape in [Shape::NO_LAPIC, Shape::XAPIC, Shape::X2APIC, Shape::SECOND] {
        let (state, kept) = busy(shape, MpState::Runnable);
        assert_eq!(restored_and_saved(shape, &state, &kept), state, "{shape:?}");
    }
}

#[test]
fn every_part_has_something_to_lose() {
    let (busy, kept) = busy(Shape::X2APIC, MpState::Halted);
    let blank = Machine::blank(Shape::X2APIC).save(&kept);
    assert_ne!(busy.mp_state, blank.mp_state);
    assert_ne!(busy.cpuid, blank.cpuid);
    assert_ne!(busy.sregs, blank.sregs);
    assert_ne!(busy.regs, blank.regs);
    assert_ne!(busy.xcrs, blank.xcrs);
    assert_ne!(busy.xsave, blank.xsave);
    assert_ne!(busy.debugregs, blank.debugregs);
    assert_ne!(busy.lapic, blank.lapic);
    assert_ne!(busy.msrs, blank.msrs);
    assert_ne!(busy.vcpu_events, blank.vcpu_events);
    assert!(busy.tsc_deadline > Some(FAR_AWAY / 2));
    // kvmclock, and what KVM keeps without listing it: MTRRs and a machine-check bank.
    for index in [0x4b56_4d01, 0x2ff, 0x200, 0x400] {
        let mut msrs = busy.msrs.as_slice().iter();
        assert!(
            msrs.any(|msr| msr.index == index && msr.data != 0),
            "{index:#x}"
        );
    }
}

#[test]
fn a_vcpu_that_never_started_stays_so() {
    for mp_state in [
        MpState::Uninitialized,
        MpState::InitReceived,
        MpState::Halted,
    ] {
        let mut source = Machine::with_cpuid(Shape::SECOND);
        source.vcpu.set_mp_state(mp_state.to_kvm()).unwrap();
        let kept = source.kept();
        let state = source.save(&kept);
        assert_eq!((state.mp_state, state.pv_unhalted), (mp_state, false));
        let mut target = Machine::with_cpuid(Shape::SECOND);
        restore(target.vcpu.fd(), &state, &kept).unwrap();
        assert_eq!(target.save(&kept), state);
    }
}

/// INIT and SIPI have come and nothing has run since: looking at MP_STATE starts the vCPU, which
/// changes all its registers. What is saved is the started vCPU, whole.
#[test]
fn a_start_that_is_under_way_is_saved_as_done() {
    const INIT: u32 = 0x4500;
    const SIPI: u32 = 0x600;
    const VECTOR: u32 = 0x12;
    let mut source = Machine::with_cpuid(Shape::SECOND);
    source.make_busy();
    for data in [INIT, SIPI | VECTOR] {
        let msi = kvm_bindings::kvm_msi {
            address_lo: 0xfee0_1000,
            data,
            ..Default::default()
        };
        assert_eq!(source.vm.fd().signal_msi(msi).unwrap(), 1);
    }
    let kept = source.kept();
    let state = source.save(&kept);
    assert_eq!(state.mp_state, MpState::Runnable);
    assert_eq!(state.sregs.0.cs.base, u64::from(VECTOR) << 12);
    assert_eq!(state.regs.0.rip, 0);
    assert_eq!(state.regs.0.rbx, 0, "INIT clears it");
    assert_eq!(restored_and_saved(Shape::SECOND, &state, &kept), state);
}

#[test]
fn an_apic_id_of_32_bits_stays() {
    let shape = Shape {
        id: 300,
        ..Shape::SECOND
    };
    let mut source = Machine::with_cpuid(shape);
    source.make_busy();
    let kept = source.kept();
    let state = source.save(&kept);
    let id = &state.lapic.unwrap().0.regs[0x20..0x24];
    assert_eq!(id, [0x2c, 1, 0, 0]);
    assert_eq!(restored_and_saved(shape, &state, &kept), state);
}

/// The loss that this program is about: the kick came while the vCPU was on its way to the HLT.
#[test]
fn a_kick_before_the_hlt_is_seen_and_can_be_given_again() {
    let mut source = Machine::started(Shape::XAPIC);
    source.vcpu.enable_lapic().unwrap();
    source.vm.kick(0).unwrap();
    let kept = source.kept();
    let state = source.save(&kept);
    assert_eq!(
        (state.mp_state, state.pv_unhalted),
        (MpState::Runnable, true)
    );

    for (kicks, ends) in [
        (
            0,
            Exit::Waiting {
                mp_state: kvm_bindings::KVM_MP_STATE_HALTED,
            },
        ),
        (1, Exit::out(8)),
    ] {
        let mut target = Machine::started(Shape::XAPIC);
        restore(target.vcpu.fd(), &state, &kept).unwrap();
        for _ in 0..kicks {
            assert_eq!(target.vm.kick(0).unwrap(), 1);
        }
        let cpu_time = std::time::Duration::from_millis(20);
        assert_eq!(target.vcpu.run(cpu_time).unwrap(), ends, "{kicks} kicks");
    }
}

#[test]
fn a_peek_leaves_a_vcpu_as_it_was() {
    let mut machine = Machine::with_cpuid(Shape::SECOND);
    for mp_state in [MpState::Runnable, MpState::Halted, MpState::Uninitialized] {
        machine.vcpu.set_mp_state(mp_state.to_kvm()).unwrap();
        for _ in 0..2 {
            let seen = peek(machine.vcpu.fd()).unwrap();
            assert_eq!((seen.mp_state, seen.pv_unhalted), (mp_state, false));
        }
    }
}

#[test]
fn restoring_writes_nothing_into_guest_memory() {
    let (state, kept) = busy(Shape::XAPIC, MpState::Runnable);
    let mut target = Machine::blank(Shape::XAPIC);
    target.vm.log_dirty_pages().unwrap();
    restore(target.vcpu.fd(), &state, &kept).unwrap();
    let log = target
        .vm
        .fd()
        .get_dirty_log(0, target.vm.memory_len())
        .unwrap();
    assert_eq!(log, [0]);
    // The guest's wall clock would be such a write: it is not restored for this reason.
    msrs::set_one(target.vcpu.fd(), 0x4b56_4d00, DATA.into()).unwrap();
    let log = target
        .vm
        .fd()
        .get_dirty_log(0, target.vm.memory_len())
        .unwrap();
    assert_eq!(log, [1 << (DATA >> 12)]);
}

/// Without `KVM_CAP_EXCEPTION_PAYLOAD`, reading the events of a vCPU writes its CR2 and DR6. Newer
/// kernels write them also when SREGS and DEBUGREGS are read, so that here any order would do.
#[test]
fn the_fault_address_of_a_pending_exception_is_saved() {
    const PAGE_FAULT: u8 = 14;
    let mut machine = Machine::started(Shape::XAPIC);
    let kept = machine.kept();
    machine.vm.enable(KVM_CAP_EXCEPTION_PAYLOAD, 1).unwrap();
    let mut events = machine.vcpu.fd().get_vcpu_events().unwrap();
    events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
    events.exception.pending = 1;
    events.exception.nr = PAGE_FAULT;
    events.exception.has_error_code = 1;
    events.exception_has_payload = 1;
    events.exception_payload = 0xabc_d000;
    machine.vcpu.fd().set_vcpu_events(&events).unwrap();
    machine.vm.enable(KVM_CAP_EXCEPTION_PAYLOAD, 0).unwrap();
    let state = machine.save(&kept);
    assert_eq!(state.sregs.0.cr2, 0xabc_d000);
    assert_eq!(state.vcpu_events.0.exception.nr, PAGE_FAULT);
}

#[test]
fn a_one_shot_timer_goes_on_where_it_stood() {
    const LVT_TIMER: usize = 0x320;
    const INITIAL_COUNT: usize = 0x380;
    const CURRENT_COUNT: usize = 0x390;
    let register = |state: &KvmVcpuState, at: usize| {
        let regs = state.lapic.unwrap().0.regs;
        u32::from_le_bytes([0, 1, 2, 3].map(|byte| regs[at + byte].cast_unsigned()))
    };
    let mut source = Machine::started(Shape::XAPIC);
    source.vcpu.enable_lapic().unwrap();
    let mut lapic = source.vcpu.fd().get_lapic().unwrap();
    for (at, value) in [
        (LVT_TIMER, 0xec_u32),
        (INITIAL_COUNT, u32::MAX),
        (CURRENT_COUNT, u32::MAX / 2),
    ] {
        for (to, byte) in lapic.regs[at..].iter_mut().zip(value.to_le_bytes()) {
            *to = byte.cast_signed();
        }
    }
    source.vcpu.fd().set_lapic(&lapic).unwrap();
    let kept = source.kept();
    let state = source.save(&kept);
    let again = restored_and_saved(Shape::XAPIC, &state, &kept);
    let (before, after) = (
        register(&state, CURRENT_COUNT),
        register(&again, CURRENT_COUNT),
    );
    assert!(
        before <= u32::MAX / 2 && before > u32::MAX / 4,
        "{before:#x}"
    );
    assert!(after <= before && after > u32::MAX / 4, "{after:#x}");
    assert_eq!(register(&again, INITIAL_COUNT), u32::MAX);
}

/// The expiry is in no register until the vCPU runs: only IA32_TSC_DEADLINE tells.
#[test]
fn a_timer_that_expired_while_the_vcpu_stood_still_fires_after_the_restore() {
    const LONG_PAST: u64 = 1;
    const IRR_OF_EC: usize = 0x200 + 0xec / 32 * 0x10;
    let mut source = Machine::with_cpuid(Shape::XAPIC);
    source.fill_lapic();
    let fd = source.vcpu.fd();
    msrs::set_one(fd, msrs::IA32_TSC_DEADLINE, LONG_PAST).unwrap();
    let kept = source.kept();
    let state = source.save(&kept);
    let irr =
        |state: &KvmVcpuState| state.lapic.unwrap().0.regs[IRR_OF_EC + 0xec % 32 / 8] >> 4 & 1;
    assert_eq!((state.tsc_deadline, irr(&state)), (Some(LONG_PAST), 0));
    let mut target = Machine::blank(Shape::XAPIC);
    restore(target.vcpu.fd(), &state, &kept).unwrap();
    assert_eq!(target.vcpu.enter().unwrap(), Some(Exit::out(7)));
    let fired = target.save(&kept);
    assert_eq!((fired.tsc_deadline, irr(&fired)), (Some(0), 1));
}

#[test]
fn a_tsc_offset_is_kept_or_said_not_to_be() {
    let (mut state, kept) = busy(Shape::XAPIC, MpState::Runnable);
    assert!(state.tsc.offset().is_some());
    let offset = 0u64.wrapping_sub(1 << 30);
    state.tsc = Tsc::Offset(offset);
    let mut target = Machine::blank(Shape::XAPIC);
    let outcome = restore(target.vcpu.fd(), &state, &kept).unwrap();
    let here = attr::tsc_offset(target.vcpu.fd()).unwrap();
    match outcome {
        TscOutcome::AsSaved => assert_eq!(here, offset),
        TscOutcome::HostsOwn => assert_eq!(here, 0),
    }
}

#[test]
fn a_tsc_rate_that_the_host_cannot_give_is_named() {
    let (mut state, kept) = busy(Shape::XAPIC, MpState::Runnable);
    let host = state.tsc_khz.unwrap();
    let mut target = Machine::blank(Shape::XAPIC);
    state.tsc_khz = Some(host / 2);
    let Err(refused) = restore(target.vcpu.fd(), &state, &kept) else {
        println!("skipped: this host scales the TSC");
        return;
    };
    let line = refused.to_string();
    assert!(
        line.contains(&format!("{} kHz, this host's at {host} kHz", host / 2)),
        "{line}"
    );
}

#[test]
fn a_refused_msr_is_named() {
    const NOBODYS: u32 = 0x4b56_4d7f;
    let (mut state, kept) = busy(Shape::XAPIC, MpState::Runnable);
    let mut entries = state.msrs.as_slice().to_vec();
    let unknown = |data| kvm_msr_entry {
        index: NOBODYS,
        data,
        ..Default::default()
    };
    // Zero is what a feature has that nobody has; it is not the last, so the rest must follow.
    entries.insert(0, unknown(0));
    state.msrs = RawList::new(entries.clone()).unwrap();
    let mut target = Machine::blank(Shape::XAPIC);
    restore(target.vcpu.fd(), &state, &kept).unwrap();
    assert_eq!(target.save(&kept).msrs.as_slice(), &entries[1..]);

    entries.insert(1, unknown(7));
    state.msrs = RawList::new(entries).unwrap();
    let refused = restore(Machine::blank(Shape::XAPIC).vcpu.fd(), &state, &kept).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "KVM_SET_MSRS: MSR 0x4b564d7f refused the value 0x7"
    );
}

#[test]
fn a_local_apic_needs_a_machine_that_has_one() {
    let (with, kept_with) = busy(Shape::XAPIC, MpState::Runnable);
    let (without, kept_without) = busy(Shape::NO_LAPIC, MpState::Runnable);
    assert_eq!(kept_without.local_apics(), LocalApics::Vmm);
    for (state, kept, shape) in [
        (&with, &kept_without, Shape::NO_LAPIC),
        (&without, &kept_with, Shape::XAPIC),
    ] {
        let refused = restore(Machine::blank(shape).vcpu.fd(), state, kept).unwrap_err();
        assert!(matches!(refused, Error::LapicElsewhere { .. }), "{refused}");
    }
}

#[test]
fn a_part_left_out_is_missed() {
    // TSC, its rate and REGS' exception rule apart, each part alone decides something.
    let (state, kept) = busy(Shape::X2APIC, MpState::Halted);
    for part in [
        order::Part::Xsave,
        order::Part::DebugRegs,
        order::Part::VcpuEvents,
    ] {
        let order: Vec<_> = RESTORING.into_iter().filter(|&p| p != part).collect();
        let mut target = Machine::blank(Shape::X2APIC);
        restore_in(target.vcpu.fd(), &state, &kept, &order).unwrap();
        assert_ne!(target.save(&kept), state, "{part:?}");
    }
}
