use super::*;
use crate::host::Kind;
use crate::report::sample::{completed, crashed, hung};
use crate::report::wrap::WIDTH;

fn line<'a>(text: &'a str, label: &str) -> &'a str {
    text.lines()
        .find(|line| line.starts_with(label))
        .unwrap_or_else(|| panic!("no {label} in\n{text}"))
}

#[test]
fn the_verdict_is_the_first_line() {
    let first = |report: &RunReport| render(report).lines().next().unwrap().to_string();
    let mut report = completed();
    assert_eq!(first(&report), "PASSED: every check held");
    report.outcome = Outcome::Timeout;
    assert!(first(&report).starts_with("STOPPED by --timeout"));
    report.ended_by = EndedBy::Interrupt;
    assert!(first(&report).starts_with("STOPPED by the user"));
    report.outcome = Outcome::Violated;
    report
        .payload
        .as_mut()
        .unwrap()
        .violations
        .touch_after_unlock = 3;
    assert_eq!(
        first(&report),
        "FAILED: lock touched after its release 3 times"
    );
    report.payload.as_mut().unwrap().violations = Violations {
        io_duplicated: 1,
        io_lost: 2,
        tsc_backwards: 3,
        kvmclock_backwards: 4,
        ..Violations::default()
    };
    assert_eq!(
        first(&report),
        "FAILED: I/O repeated once, I/O lost 2 times, TSC went back 3 times, \
         kvmclock went back 4 times"
    );
    report.outcome = Outcome::Stopped;
    report.ended_by = EndedBy::Console;
    assert!(first(&report).starts_with("STOPPED from its console"));
    (report.outcome, report.debug_exit) = (Outcome::Completed, Some(16));
    assert!(first(&report).ends_with("with 0x10 on the debug-exit port"));
    assert_eq!(first(&hung()), "FAILED: the guest hangs");
    assert_eq!(first(&crashed()), "FAILED: the guest crashed");
}

#[test]
fn a_guest_without_numbers_passes_without_claiming_checks() {
    let mut report = crashed();
    (report.outcome, report.crash) = (Outcome::Completed, None);
    let text = render(&report);
    assert_eq!(text.lines().next(), Some("PASSED"));
    assert!(text.contains("guests/other.elf, 4 vCPUs"));
    assert!(!text.contains("slow path"));
    assert!(!text.contains("kicks  "));
}

#[test]
fn every_number_has_its_place() {
    let text = render(&completed());
    assert!(line(&text, "acquired").contains("1.23 M/s"));
    assert!(line(&text, "fairness").contains("0.9934"));
    let wait: Vec<_> = line(&text, "wait").split_whitespace().collect();
    assert_eq!(
        wait.join(" "),
        "wait p50 210 ns p99 1.20 µs p99.9 43.1 µs max 12.0 ms"
    );
    let kick: Vec<_> = line(&text, "kick took").split_whitespace().collect();
    assert_eq!(
        kick.join(" "),
        "kick took p50 4.10 µs p99 9.80 µs max 1.25 ms"
    );
    let kicks: Vec<_> = line(&text, "kicks").split_whitespace().collect();
    assert_eq!(
        kicks.join(" "),
        "kicks handled 1234 to halted 1200 to running 33 no such ID 0"
    );
    let machine: Vec<_> = line(&text, "machine").split_whitespace().collect();
    assert_eq!(machine.join(" "), "machine I/O turns 462 k clock stops 8");
    assert!(text.contains("broadcast"));
    assert!(!text.contains("dropped"));
    let exits: Vec<_> = line(&text, "exits").split_whitespace().collect();
    assert_eq!(exits.join(" "), "exits io 2468 hlt 12 mmio 3");
}

#[test]
fn every_exit_keeps_its_name() {
    let mut report = completed();
    // The longest.
    let names = ["hypercall_stub", "internal_error"];
    for name in names {
        report.exits.insert(name.into(), 12_345_678);
    }
    let text = render(&report);
    for name in names {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn a_hang_and_a_crash_are_told_in_the_table() {
    assert!(render(&hung()).contains("is halted with IF=0 and no pv_unhalted"));
    assert!(render(&crashed()).contains("64-bit code: ud2"));
}

#[test]
fn many_vcpus_are_three_rows() {
    let mut report = completed();
    let vcpu = report.vcpus[0];
    report.vcpus = (0..1024)
        .map(|i| VcpuReport {
            apic_id: i,
            acquisitions: Some(u64::from(i * 7 % 1024)),
            ..vcpu
        })
        .collect();
    let text = render(&report);
    assert!(text.lines().count() < 30);
    let rows = text.lines().skip_while(|line| !line.starts_with("vCPU"));
    let rows: Vec<Vec<_>> = rows.map(|row| row.split_whitespace().collect()).collect();
    let (ranks, acquisitions) = (|row: usize| rows[row][1], |row: usize| rows[row][3]);
    assert_eq!([1, 2, 3].map(ranks), ["least", "median", "most"]);
    assert_eq!([1, 2, 3].map(acquisitions), ["0", "511", "1023"]);
    assert_eq!(rows[4][0], "exits");
}

#[test]
fn no_line_is_too_wide() {
    let mut report = completed();
    report.host.kind = Kind::Unknown;
    report.host.kernel = "6.12.38+deb13-cloud-amd64".into();
    for (name, count) in [
        (
            "a_statistic_with_a_very_long_name_indeed_yes_it_is",
            u64::MAX,
        ),
        ("b", 0),
    ] {
        report.kvm_stats.insert(name.into(), count);
        report.exits.insert(name.into(), count);
    }
    for vcpu in &mut report.vcpus {
        (vcpu.exits, vcpu.wait_max_ns) = (u64::MAX, Some(u64::MAX));
    }
    let text = render(&report);
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}

#[test]
fn columns_line_up() {
    let text = render(&completed());
    let ends = |label| {
        let line = line(&text, label);
        line.chars().count()
    };
    assert_eq!(ends("wait"), ends("kicks"));
    assert_eq!(ends("wait"), ends("slow path"));
}

#[test]
fn times_of_kvm_have_a_unit() {
    let mut report = completed();
    report.kvm_stats.insert("halt_wait_ns".into(), 2_500_000);
    let text = render(&report);
    let stats: Vec<_> = text[text.find("KVM stats").unwrap()..]
        .split_whitespace()
        .collect();
    assert!(stats.join(" ").contains("halt_wait 2.50 ms"));
}
