use super::*;
use crate::control::{PayloadStatus, fake};
use crate::report::wrap::WIDTH;

fn status() -> Status {
    Status {
        state: State::Running,
        payload: Some(PayloadStatus {
            state: PayloadState::Running,
            acquisitions: 1_234_567,
            halts: 20_000,
            kicks_sent: 999,
            violations: 0,
            tsc_backwards: 1,
            kvmclock_backwards: 2,
            io_duplicated: 3,
            io_lost: 4,
        }),
        operation: Some(migration()),
        ..fake::status()
    }
}

fn migration() -> Operation {
    Operation {
        kind: OperationKind::Migrate,
        phase: "pre-copy".to_owned(),
        round: Some(3),
        bytes_done: 300_000_000,
        bytes_total: 400_000_000,
        rate_bytes_per_second: 850_000_000,
        dirty_bytes_per_second: Some(12_000_000),
        expected_downtime_ns: Some(43_100_000),
    }
}

#[test]
fn the_table_is_short_and_fits() {
    let text = render(&status());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "RUNNING, up 12.2 s");
    assert_eq!(lines[1], "bundled, 4 vCPUs, 128 MiB");
    assert_eq!(lines[2], "kick vmm, halt kvm, pvm host, vmm 0.1.0");
    assert_eq!(lines[3], "");
    for part in ["payload ", "running", "1.23 M", "20.0 k", "999"] {
        assert!(lines[4].contains(part), "{part}: {text}");
    }
    assert!(lines[5].starts_with("checks "));
    assert!(
        lines.iter().all(|line| line.chars().count() <= WIDTH),
        "{text}"
    );
    let short = render(&Status {
        payload: None,
        operation: None,
        vcpus: 1,
        state: State::Ended,
        ..status()
    });
    assert!(short.starts_with("ENDED, up 12.2 s\nbundled, 1 vCPU, 128 MiB\n"));
    assert_eq!(short.lines().count(), 3);
}

#[test]
fn an_operation_is_one_line() {
    assert_eq!(
        operation(&migration()),
        "migrate: pre-copy 3  [========  ]  300 MB of 400 MB  850 MB/s  dirty 12.0 MB/s  \
         downtime 43.1 ms"
    );
    let snapshot = Operation {
        kind: OperationKind::Snapshot,
        phase: "memory".to_owned(),
        round: None,
        bytes_done: 7,
        bytes_total: 0,
        rate_bytes_per_second: 0,
        dirty_bytes_per_second: None,
        expected_downtime_ns: None,
    };
    assert_eq!(
        operation(&snapshot),
        "snapshot: memory  [          ]  7 B of 0 B  0 B/s"
    );
}

#[test]
fn the_bar_stays_in_its_place() {
    for (done, total) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (u64::MAX, u64::MAX)] {
        assert_eq!(bar(done, total).len(), BAR + 2);
    }
    assert!(bar(1, 1000).starts_with("[= "));
    assert!(bar(1, 1).ends_with("==]"));
}

#[test]
fn what_was_done_is_said_with_its_cost() {
    let done = SnapshotDone {
        file: "/f".into(),
        file_bytes: 134_000_000,
        data_bytes: 5_240_000,
        seconds: 0.5,
        paused_ns: 400_000_000,
        hidden_kicks: 1,
    };
    assert_eq!(
        saved(&done),
        "SAVED /f\n5.24 MB in a file of 134 MB, 0.50 s, paused for 400 ms, 1 hidden kick kept\n"
    );
    let done = MigrateDone {
        rounds: 3,
        bytes: 400_000_000,
        pages: 9000,
        zero_pages: 1000,
        seconds: 1.5,
        downtime_ns: 43_000_000,
        hidden_kicks: 0,
    };
    assert_eq!(
        moved("unix:/s", &done),
        "MOVED to unix:/s\n400 MB in 3 rounds, 8000 pages and 1000 of zeroes, 1.50 s, downtime \
         43.0 ms, 0 hidden kicks kept\n"
    );
}
