use std::collections::BTreeSet;

use super::super::busy_vcpu::{Machine, Shape, busy};
use super::super::restore::restore_in;
use super::super::{Kept, KvmVcpuState, MpState};
use super::*;
use crate::host::Kind;

/// What must come before what in restoring, as a PVM host shows it. Other rules of the table are
/// read in the kernel's sources and need what this kind of host lacks: a TSC that can be offset and
/// scaled, AMX, interrupts that hardware posts.
const RULES_ON_PVM: &[(Part, Part)] = &[
    // Refused: CR4.OSXSAVE and x2APIC mode.
    (Part::Cpuid, Part::Sregs),
    // Refused: AVX.
    (Part::Cpuid, Part::Xcrs),
    // Refused: IA32_ARCH_CAPABILITIES.
    (Part::Cpuid, Part::Msrs),
    // Dropped: KVM_SET_REGS takes a pending exception away.
    (Part::Regs, Part::VcpuEvents),
    // Dropped: the timer is not in TSC-deadline mode yet.
    (Part::Lapic, Part::TscDeadline),
];

#[test]
fn every_part_stands_once_in_either_order() {
    for order in [SAVING, RESTORING] {
        assert_eq!(BTreeSet::from(order).len(), PARTS, "{order:?}");
    }
}

/// What older kernels need and this one may not.
#[test]
fn what_a_reading_writes_is_read_after_it() {
    for (writer, written) in [
        (Part::MpState, Part::VcpuEvents),
        (Part::MpState, Part::Lapic),
        (Part::VcpuEvents, Part::Sregs),
        (Part::VcpuEvents, Part::DebugRegs),
    ] {
        assert!(
            obeyed(&SAVING, &(writer, written)),
            "{writer:?} {written:?}"
        );
    }
}

/// States that between them feel every rule of the order.
fn states() -> Vec<(Shape, KvmVcpuState, Kept)> {
    [
        (Shape::XAPIC, MpState::Runnable),
        (Shape::X2APIC, MpState::Halted),
        (Shape::SECOND, MpState::Runnable),
        (Shape::SECOND, MpState::InitReceived),
    ]
    .into_iter()
    .map(|(shape, mp_state)| {
        let (state, kept) = busy(shape, mp_state);
        (shape, state, kept)
    })
    .collect()
}

/// What goes wrong when `state` is restored in `order`.
fn damage(shape: Shape, state: &KvmVcpuState, kept: &Kept, order: &[Part]) -> Option<String> {
    let mut target = Machine::blank(shape);
    if let Err(refused) = restore_in(target.vcpu.fd(), state, kept, order) {
        return Some(refused.to_string());
    }
    let again = target.save(kept);
    (again != *state).then(|| format!("{} differ", changed(state, &again).join(", ")))
}

fn changed(a: &KvmVcpuState, b: &KvmVcpuState) -> Vec<&'static str> {
    [
        ("mp_state", a.mp_state == b.mp_state),
        ("cpuid", a.cpuid == b.cpuid),
        ("tsc_khz", a.tsc_khz == b.tsc_khz),
        ("tsc", a.tsc == b.tsc),
        ("sregs", a.sregs == b.sregs),
        ("regs", a.regs == b.regs),
        ("xcrs", a.xcrs == b.xcrs),
        ("xsave", a.xsave == b.xsave),
        ("debugregs", a.debugregs == b.debugregs),
        ("lapic", a.lapic == b.lapic),
        ("msrs", a.msrs == b.msrs),
        ("tsc_deadline", a.tsc_deadline == b.tsc_deadline),
        ("vcpu_events", a.vcpu_events == b.vcpu_events),
    ]
    .into_iter()
    .filter_map(|(name, same)| (!same).then_some(name))
    .collect()
}

#[test]
fn the_order_of_the_table_breaks_nothing() {
    for (shape, state, kept) in states() {
        assert_eq!(damage(shape, &state, &kept, &RESTORING), None, "{shape:?}");
    }
}

/// Each two parts of the table change places: that does harm where it breaks a rule, and nowhere
/// else.
#[test]
fn a_swap_does_harm_where_it_breaks_a_rule_and_nowhere_else() {
    let states = states();
    let mut unexpected = Vec::new();
    for (first, earlier) in RESTORING.into_iter().enumerate() {
        for (second, later) in RESTORING.into_iter().enumerate().skip(first + 1) {
            let mut order = RESTORING;
            order.swap(first, second);
            let harm = states
                .iter()
                .find_map(|(shape, state, kept)| damage(*shape, state, kept, &order));
            let broken = RULES_ON_PVM.iter().find(|rule| !obeyed(&order, rule));
            let line = format!(
                "{earlier:?} and {later:?} swapped: {}; breaks {broken:?}",
                harm.as_deref().unwrap_or("no harm"),
            );
            println!("{line}");
            if harm.is_some() != broken.is_some() {
                unexpected.push(line);
            }
        }
    }
    if Kind::detect() == Kind::Pvm {
        assert!(unexpected.is_empty(), "{unexpected:#?}");
    } else {
        println!("not compared: the rules are those of a PVM host");
    }
}

fn obeyed(order: &[Part], (first, second): &(Part, Part)) -> bool {
    let at = |wanted: &Part| order.iter().position(|part| part == wanted);
    at(first) < at(second)
}
