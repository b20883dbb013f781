use super::*;

fn parse(line: &str) -> Result<Args<'_>, BadArg<'_>> {
    Args::parse(line, |_| false)
}

#[test]
fn an_empty_line_gives_the_defaults() {
    assert_eq!(parse(""), Ok(Args::DEFAULT));
}

#[test]
fn every_key_is_read() {
    let args = parse(
        "lock=byte tickets=large ring=3 threshold=20000ns locks=7 hold=1 think=2 seconds=1.5 settle=0.5 \
         seed=9 mortal=0 linger=5 window=6 wait-early=off timing=off clocks=on io=7 fill=64K dirty=8 apic=xapic mode=latency cases=cpl3,known-id deeds=kicks,msrs turns=9 nopvspin pv=xen \
         xen_nopvspin",
    );
    assert_eq!(
        args,
        Ok(Args {
            mode: Mode::Latency,
            lock: LockKind::Byte,
            tickets: TicketWidth::Large,
            ring: Ring::Three,
            threshold: Threshold::Nanoseconds(20000),
            locks: 7,
            hold: 1,
            think: 2,
            duration_ms: 1500,
            settle_ms: 500,
            seed: 9,
            mortal: 0,
            linger: 5,
            window: 6,
            wait_early: WaitEarly::Off,
            timing: Timing::Off,
            clocks: Clocks::On,
            io: 7,
            fill_bytes: 64 << 10,
            dirty: 8,
            apic: Apic::XApic,
            pv: Interface::Xen,
            xen_nopvspin: true,
            nopvspin: true,
            cases: "cpl3,known-id",
            deeds: Deeds::parse("kicks,msrs").unwrap(),
            turns: 9,
        })
    );
}

#[test]
fn a_lock_that_is_none_is_answered_with_all_that_are() {
    let expected = parse("lock=fifo").unwrap_err().expected;
    let names: Vec<_> = LockKind::ALL.map(LockKind::name).to_vec();
    assert_eq!(expected, format!("lock={}", names.join("|")));
}

#[test]
fn bad_values_name_the_word_and_what_is_right() {
    for word in [
        "lock=fifo",
        "pv=hyperv",
        "ring=1",
        "tickets=8",
        "threshold=0",
        "threshold=ns",
        "locks=0",
        "locks=4097",
        "hold=-1",
        "seconds=",
        "seconds=1.2345",
        "seconds=1e3",
        "seconds=90000",
        "think=4294967295",
        "timing=1",
        "clocks=yes",
        "window=16777217",
        "wait-early=",
        "wait-early=no",
        "io=",
        "io=-1",
        "fill=",
        "fill=K",
        "fill=3G",
        "fill=1T",
        "fill=99999999999G",
        "fill=-1M",
        "dirty=1",
        "dirty=16777217",
        "mode=x",
        "cases=",
        "cases=known",
        "cases=cpl3,",
        "speed=3",
        "nopvspin=1",
    ] {
        let bad = parse(word).unwrap_err();
        assert_eq!(bad.word, word);
        assert!(!bad.expected.is_empty());
    }
}

#[test]
fn unknown_words_are_left_alone_where_the_caller_says_so() {
    assert!(Args::parse("console=ttyS0 lock=tas pci=off", |_| true).is_ok());
}

#[test]
fn pages_to_dirty_need_memory_that_is_filled() {
    assert!(parse("dirty=0").is_ok());
    assert!(parse("dirty=1 fill=4K").is_ok());
    assert_eq!(parse("dirty=1 dirty=2").unwrap_err().word, "dirty=2");
}

#[test]
fn the_watchdog_waits_for_all_that_a_turn_does() {
    let args = parse("hold=1 think=10 linger=100 window=1000 dirty=10000 fill=4K");
    assert_eq!(args.unwrap().iterations_per_turn(), 11_121);
}

#[test]
fn sizes_take_a_suffix() {
    for (text, bytes) in [
        ("4096", 4096),
        ("3k", 3072),
        ("2M", 2 << 20),
        ("1G", 1 << 30),
    ] {
        assert_eq!(size(text), Some(bytes));
    }
}

#[test]
fn seconds_take_a_fraction_of_up_to_three_digits() {
    assert_eq!(milliseconds("0.5"), Some(500));
    assert_eq!(milliseconds("2.25"), Some(2250));
    assert_eq!(milliseconds("2.125"), Some(2125));
    assert_eq!(milliseconds("86400"), Some(86_400_000));
}
