use super::*;
use crate::host::Kind;

fn finding(case: &'static str, kick: &'static str, result: Verdict) -> Finding {
    Finding {
        case,
        kick,
        halt: "kvm",
        apic: Apic::X2Apic,
        result,
        expected: "0,sleeps".to_owned(),
        seen: "0".to_owned(),
        reason: (result != Verdict::Pass).then(|| "a reason".to_owned()),
    }
}

fn report() -> Report {
    let mut report = Report::new(Identity {
        kind: Kind::Pvm,
        kernel: "6.1".to_owned(),
        cpu_model: String::new(),
    });
    report.results = vec![
        finding("known-id", "kvm", Verdict::Skip),
        finding("unknown-id", "kvm", Verdict::Skip),
        finding("known-id", "vmm", Verdict::Pass),
        finding("unknown-id", "vmm", Verdict::Fail),
    ];
    report
}

#[test]
fn the_table_has_a_line_a_case_and_one_for_all_that_are_skipped_for_one_reason() {
    let text = report().table();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "pvm host, Linux 6.1",
            "",
            "      case        kick  halt  APIC    expected  seen",
            "PASS  known-id    vmm   kvm   x2apic  0,sleeps  0",
            "FAIL  unknown-id  vmm   kvm   x2apic  0,sleeps  0",
            "",
            "FAIL  unknown-id, kick vmm, halt kvm, x2apic: a kick for an APIC ID that nobody has is \
             answered with",
            "  0 and wakes nobody (x86.c, kvm_pv_kick_cpu_op)",
            "    a reason",
            "SKIP  kick kvm, halt kvm: 2 cases: a reason",
            "1 passed, 1 failed, 2 skipped on this pvm host",
        ]
    );
}

#[test]
fn json_has_every_case_and_null_where_there_is_no_reason() {
    let json = serde_json::to_value(report()).unwrap();
    assert_eq!(json["schema"], "vmm.conformance/1");
    assert_eq!(json["host"]["kind"], "pvm");
    assert_eq!(json["results"].as_array().unwrap().len(), 4);
    let passed = &json["results"][2];
    assert_eq!(passed["apic"], "x2apic");
    assert_eq!(passed["result"], "pass");
    assert!(passed["reason"].is_null());
    assert_eq!(json["results"][0]["reason"], "a reason");
}
