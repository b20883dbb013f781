use super::*;
use crate::report::percentile::WaitNs;
use crate::report::run::Kicks;
use crate::report::wrap::WIDTH;

fn vcpu(apic_id: u32, state: Option<VcpuState>, times: u64) -> VcpuStats {
    VcpuStats {
        apic_id,
        state,
        exits: 1000 * times,
        exits_by_reason: [
            ("hlt".to_owned(), 600 * times),
            ("io".to_owned(), 400 * times),
        ]
        .into(),
        kvm_exits: Some(2000 * times),
        halts: 600 * times,
        kicks_sent: Some(7 * times),
        kicks_received: None,
        acquisitions: Some(u64::MAX),
    }
}

fn stats(times: u64) -> Stats {
    Stats {
        state: State::Running,
        uptime_seconds: times as f64 * 2.0,
        kicks: Some(Kicks {
            handled: 5000 * times,
            to_halted: 4000 * times,
            ..Kicks::default()
        }),
        wait_ns: Some(WaitNs {
            p50: 210,
            p99: 1203,
            p999: 43_100,
            max: 12_000_000,
        }),
        vcpus: vec![
            vcpu(0, Some(VcpuState::Running), times),
            vcpu(4, Some(VcpuState::Halted), times),
            vcpu(9, Some(VcpuState::WaitingForSipi), 0),
            vcpu(11, None, 0),
        ],
    }
}

/// The words of the line that begins with `label`.
fn words<'a>(text: &'a str, label: &str) -> Vec<&'a str> {
    let line = text.lines().find(|line| line.starts_with(label));
    line.unwrap_or_else(|| panic!("{label}: {text}"))
        .split_whitespace()
        .collect()
}

#[test]
fn one_sample_is_shown_in_totals() {
    let text = Samples::new(&stats(2), None).table(usize::MAX);
    assert!(text.starts_with(
        "RUNNING, up 4.0 s, vCPUs: 1 running, 1 halted, 1 waiting for SIPI, 1 unknown\n"
    ));
    let kicks = "kicks handled 10.0 k to halted 8000 to running 0 no such ID 0";
    assert_eq!(words(&text, "kicks").join(" "), kicks);
    assert_eq!(words(&text, "exits").join(" "), "exits hlt 2400 io 1600");
    let vcpu = ["1", "4", "halted", "2000", "1200", "14", "-"];
    assert_eq!(words(&text, "   1")[..7], vcpu);
    assert_eq!(words(&text, "   2")[2..4], ["wait", "SIPI"]);
    assert_eq!(words(&text, "   3")[2], "-");
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}

#[test]
fn two_samples_are_shown_as_rates_between_them() {
    let (before, now) = (stats(1), stats(3));
    let samples = Samples::new(&now, Some(&before));
    let text = samples.table(usize::MAX);
    assert_eq!(words(&text, "kicks")[..3], ["kicks", "handled", "2.50"]);
    assert!(
        words(&text, "   1")
            .join(" ")
            .starts_with("1 4 halted 500 /s 300 /s")
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= WIDTH),
        "{text}"
    );
    let line = samples.line();
    assert_eq!(line.lines().count(), 1);
    for part in [
        "6.0 s RUNNING",
        "kicks 2.50 k/s",
        "wait p50 210 ns",
        "p99.9 43.1 µs",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn samples_of_two_machines_make_no_rates() {
    let now = stats(1);
    let mut other = stats(0);
    other.vcpus.pop();
    for before in [&stats(2), &stats(1), &other] {
        let samples = Samples::new(&now, Some(before));
        assert_eq!(samples.table(100), Samples::new(&now, None).table(100));
    }
}

#[test]
fn a_table_fits_the_rows_it_is_given() {
    let mut now = stats(1);
    now.vcpus = (0..100)
        .map(|i| vcpu(i, Some(VcpuState::Halted), 1))
        .collect();
    for rows in [12, 24, 60] {
        let text = Samples::new(&now, None).table(rows);
        assert!(text.lines().count() <= rows, "{rows}: {text}");
        let shown = text.lines().filter(|line| line.starts_with("  ")).count() - 1;
        let rest = format!("   and {} more: vCPUs: {} halted", 100 - shown, 100 - shown);
        assert_eq!(text.lines().last(), Some(rest.as_str()));
    }
    assert!(Samples::new(&now, None).table(0).lines().count() > 3);
}

#[test]
fn a_guest_that_says_nothing_has_less_to_show() {
    let now = Stats {
        kicks: None,
        wait_ns: None,
        vcpus: Vec::new(),
        ..stats(1)
    };
    let text = Samples::new(&now, None).table(usize::MAX);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(
        Samples::new(&now, None).line(),
        "2.0 s RUNNING  vCPUs: none\n"
    );
}
