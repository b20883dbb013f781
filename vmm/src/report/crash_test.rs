use super::*;
use crate::report::sample::crash;

#[test]
fn code_is_disassembled_in_the_width_it_runs_in() {
    let code = [0x66, 0x90];
    assert_eq!(disassemble(64, 0, &code).as_deref(), Some("xchg %ax,%ax"));
    let inc_or_rex = [0x40, 0x90];
    assert_eq!(disassemble(32, 0, &inc_or_rex).as_deref(), Some("inc %eax"));
    assert_eq!(disassemble(16, 0, &inc_or_rex).as_deref(), Some("inc %ax"));
    assert_eq!(
        disassemble(64, 0, &[0x0f, 0x01, 0xc1]).as_deref(),
        Some("vmcall")
    );
    assert_eq!(
        disassemble(64, 0x1000, &[0xeb, 0xfe]).as_deref(),
        Some("jmp 0x1000")
    );
}

#[test]
fn bytes_that_are_no_instruction_have_no_text() {
    assert_eq!(disassemble(64, 0, &[]), None);
    assert_eq!(disassemble(64, 0, &[0x0f]), None);
    assert_eq!(disassemble(64, 0, &[0x06]), None);
    assert_eq!(disassemble(7, 0, &[0x90]), None);
}

#[test]
fn the_width_follows_cs_and_efer() {
    let width = |efer, l, db| {
        let mut sregs = kvm_sregs {
            efer,
            ..kvm_sregs::default()
        };
        (sregs.cs.l, sregs.cs.db) = (l, db);
        Registers::new(&kvm_regs::default(), &sregs).bits
    };
    assert_eq!(width(EFER_LMA, 1, 0), 64);
    assert_eq!(width(EFER_LMA, 0, 1), 32);
    assert_eq!(width(0, 0, 1), 32);
    assert_eq!(width(0, 1, 0), 16);
}

#[test]
fn the_text_has_reason_instruction_and_registers() {
    let text = crash().to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "crashed: vCPU 1 (APIC ID 2): triple fault");
    assert_eq!(lines[1], "  at 0x100040, 64-bit code: ud2   [0f 0b 90]");
    assert!(lines[2].starts_with("     rip 0000000000100040    rsp 0000000000200000"));
    assert_eq!(lines.len(), 9);
    assert!(lines.iter().all(|line| line.len() <= 100));
}

#[test]
fn unmapped_code_is_said_so() {
    let crash = CrashReport::new(
        0,
        0,
        CrashReason::EmulationFailure,
        Registers::default(),
        Vec::new(),
    );
    assert!(crash.to_string().contains("no memory is mapped there"));
}

#[test]
fn a_page_fault_tells_its_address() {
    let reason = CrashReason::GuestException {
        vector: 14,
        error_code: Hex(2),
        rip: Hex(0x1000),
        cr2: Hex(0xdead),
    };
    assert_eq!(
        reason.to_string(),
        "#PF (vector 14, error code 0x2) at 0x1000, address 0xdead"
    );
}
