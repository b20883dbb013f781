//! The guest watches its machine: I/O that is done once, clocks that do not go back. It finds
//! nothing while nobody saves or moves the machine.

use vmm_tests::command::{Report, Vmm, skip};

/// All of it.
const WATCHED: &str = "io=1 clocks=on window=200 fill=1M dirty=3";
/// What may be broken.
const PROMISES: [&str; 7] = [
    "mutual_exclusion",
    "fifo",
    "touch_after_unlock",
    "io_duplicated",
    "io_lost",
    "tsc_backwards",
    "kvmclock_backwards",
];

/// Numbers that the boot CPU reads to see whether somebody counts.
const NUMBERS_TRIED: u64 = 2;

fn assert_clean(run: &Report) {
    run.ended("completed", 0);
    for promise in PROMISES {
        let violations = run.count(&format!("/violations/{promise}"));
        assert_eq!(violations, 0, "{promise}: {}", run.finished);
    }
}

#[test]
fn a_machine_that_nobody_stops_does_io_once_and_keeps_its_time() {
    for halt in ["kvm", "vmm"] {
        for (ring, workload) in [
            (0, "threshold=1 hold=4 think=1"),
            (3, "threshold=16 hold=200 think=50"),
        ] {
            for vcpus in [1, 4, 16] {
                let switches = format!("--vcpus {vcpus} --kick vmm --halt {halt} --timeout 60 --");
                let run = Vmm::run(&switches)
                    .words(&format!("ring={ring} seconds=0.2 {workload} {WATCHED}"))
                    .report();
                assert_clean(&run);
                assert!(run.count("/guest/io_turns") > 0, "{}", run.finished);
                // Each turn reads once: not one IN more or less than the guest knows of.
                let reads = run.count("/guest/io_turns") + NUMBERS_TRIED;
                assert_eq!(run.count("/exits/port_in"), reads, "{}", run.finished);
                assert_eq!(run.count("/guest/clock_stops"), 0, "{}", run.finished);
            }
        }
    }
}

#[test]
fn the_guest_says_what_it_has_checked() {
    let line = |words: &str| {
        let ran = Vmm::run("--vcpus 2 -- seconds=0.05").words(words).finish();
        assert_eq!(ran.code, 0, "{ran}");
        let line = ran.stdout.lines().next().map(str::to_owned);
        line.unwrap_or_default()
    };
    let counts = [
        "io_duplicated 0 io_lost 0",
        "tsc_backwards 0 kvmclock_backwards 0",
    ];
    for (words, said) in [
        ("", [false, false]),
        ("io=1", [true, false]),
        ("clocks=on", [false, true]),
        ("io=1 clocks=on", [true, true]),
    ] {
        let line = line(words);
        assert_eq!(counts.map(|count| line.contains(count)), said, "{line}");
    }
}

#[test]
fn a_waiter_spends_the_window_before_it_halts() {
    const WINDOW: u64 = 400_000;
    // Less than any PAUSE takes.
    const PAUSE_NS: u64 = 1;
    for halt in ["kvm", "vmm"] {
        let run = Vmm::run(&format!(
            "--vcpus 2 --kick vmm --halt {halt} --timeout 60 --"
        ))
        .words("ring=3 seconds=0.3 threshold=1 hold=100 think=0 mortal=0")
        .words(&format!("window={WINDOW}"))
        .report();
        assert_clean(&run);
        let count = |name: &str| run.count(&format!("/guest/{name}"));
        let halted = count("taken_slow") - count("taken_slow_pickup");
        assert!(halted > 0, "{}", run.finished);
        let least = halted * WINDOW * PAUSE_NS;
        assert!(count("time_blocked_ns") > least, "{}", run.finished);
    }
}

#[test]
fn memory_that_is_not_there_is_not_filled() {
    let refused = Vmm::run("--vcpus 1 --memory 16M -- fill=16M").finish();
    assert_eq!(refused.code, 4, "{refused}");
    assert!(
        refused.stdout.contains("not enough memory for fill=SIZE"),
        "{refused}"
    );
    for ring in [0, 3] {
        let filled = Vmm::run("--vcpus 2 --memory 16M -- seconds=0.05 fill=12M dirty=7")
            .words(&format!("ring={ring}"))
            .finish();
        assert_eq!(filled.code, 0, "{filled}");
    }
}

#[test]
fn kvm_takes_kicks_of_a_guest_that_watches() {
    let tried = Vmm::run("--kick kvm --halt kvm --vcpus 1 -- seconds=0").finish();
    if tried.code == 3 {
        skip("--kick kvm", tried.one_line());
        return;
    }
    for ring in [0, 3] {
        let run = Vmm::run("--kick kvm --halt kvm --vcpus 4 --timeout 60 --")
            .words(&format!("ring={ring} seconds=0.2 threshold=16 {WATCHED}"))
            .report();
        assert_clean(&run);
    }
}
