//! The reference of what guest and host agree on.

use std::mem::offset_of;

use guest_payload::abi::handshake::{self, Handshake, HandshakeSlot, SpinExit};
use guest_payload::abi::{
    self, Control, CpuResults, LockObject, Results, SlowPathStats, StubPage, TraceEvent, stub_out,
};

use super::{code, page, rows, section};

/// Compares the rows below `title` with the fields of a structure.
fn assert_layout(abi: &str, title: &str, fields: &[(&str, usize, usize)]) {
    let described: Vec<_> = rows(section(abi, title))
        .into_iter()
        .filter(|row| row.len() == 4)
        .map(|row| {
            let number = |cell: &str| cell.parse::<usize>().unwrap();
            let name = code(&row[2]).unwrap().to_owned();
            (name, number(&row[0]), number(&row[1]))
        })
        .collect();
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, offset, bytes)| ((*name).to_owned(), *offset, *bytes))
        .collect();
    assert_eq!(described, fields, "{title}");
}

/// Name, offset and size of fields of a structure.
macro_rules! fields {
    ($structure:ty { $($field:ident),+ $(,)? }) => {
        &[$((
            stringify!($field),
            offset_of!($structure, $field),
            size_of_field(|structure: &$structure| &raw const structure.$field),
        )),+]
    };
}

fn size_of_field<S, F>(_: fn(&S) -> *const F) -> usize {
    size_of::<F>()
}

#[test]
fn the_abi_page_has_every_structure_as_it_is() {
    let abi = page("docs/reference/guest-abi.md");
    let results = fields!(Results {
        magic,
        version,
        state,
        cpu_count,
        ring,
        lock_kind,
        ticket_bits,
        pv_active,
        done_count,
        tsc_khz,
        threshold_spins,
        start_tsc,
        deadline_tsc,
        end_tsc,
        cpus_gpa,
        locks_gpa,
        lock_count,
        exception,
        tsc_skew_cycles,
        fill_gpa,
        fill_bytes,
        trace_events,
        trace_reserved,
        trace_gpa,
    });
    assert_layout(&abi, "### `Results`", results);
    let cpu = fields!(CpuResults {
        apic_id,
        state,
        waiting_lock,
        waiting_ticket,
        kick_port,
        acquisitions,
        halts,
        kicks_sent,
        mutual_exclusion,
        fifo,
        touch_after_unlock,
        freed,
        slow,
        wait,
        wait_max,
        settled,
        io_turns,
        io_duplicated,
        io_lost,
        tsc_backwards,
        kvmclock_backwards,
        clock_stops,
        traced,
        spin_exits,
        kick,
        kick_max,
    });
    assert_layout(&abi, "### `CpuResults`", cpu);
    let slow = fields!(SlowPathStats {
        taken_slow,
        taken_slow_pickup,
        released_slow,
        released_slow_kicked,
        time_blocked_ns,
        histo_blocked,
        zero_stats,
        taken_slow_spurious,
    });
    assert_layout(&abi, "### `SlowPathStats`", slow);
    let lock = fields!(LockObject {
        lock,
        owner,
        last_ticket,
        has_last_ticket,
        uses_left,
        acquisitions,
        last_tsc,
        last_kvmclock_ns,
    });
    assert_layout(&abi, "### `LockObject`", lock);
    let event = fields!(TraceEvent {
        tsc,
        lock,
        ticket,
        step,
        target,
        reserved,
    });
    assert_layout(&abi, "### `TraceEvent`", event);
    let handshake = fields!(Handshake {
        magic,
        version,
        host,
        slot_count,
        gap_cycles,
        window_pauses,
        exit_at_acquire,
        exit_at_release,
        reserved,
        seed,
        slots_gpa,
    });
    assert_layout(&abi, "### `Handshake`", handshake);
    let slot = fields!(HandshakeSlot {
        apic_id,
        ticket,
        serving,
        window_pauses,
        advice,
        reserved,
        waiting_lock,
        holding_lock,
    });
    assert_layout(&abi, "### `HandshakeSlot`", slot);
    assert_eq!(size_of::<Handshake>(), 4096);
    assert_eq!(size_of::<HandshakeSlot>(), 64);
    assert_eq!(size_of::<Results>(), 4096);
    assert_eq!(size_of::<CpuResults>(), 8192);
    assert_eq!(size_of::<LockObject>(), 128);
    assert_eq!(size_of::<StubPage>(), 4096);
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

#[test]
fn the_abi_page_has_every_constant_as_it_is() {
    let abi = page("docs/reference/guest-abi.md");
    let has = |text: String| assert!(abi.contains(&text), "{text}");
    for (name, port) in [
        ("PORT_HYPERCALL", abi::PORT_HYPERCALL),
        ("PORT_HALT", abi::PORT_HALT),
        ("PORT_SPIN_EXIT", abi::PORT_SPIN_EXIT),
        ("PORT_CONTROL", abi::PORT_CONTROL),
        ("PORT_SEQUENCE", abi::PORT_SEQUENCE),
    ] {
        has(format!("| `{name}` | `{port:#x}` |"));
    }
    for (name, number) in [
        ("RESULTS_VERSION", u64::from(abi::RESULTS_VERSION)),
        ("MAX_CPUS", abi::MAX_CPUS as u64),
        ("WAIT_BUCKETS", abi::WAIT_BUCKETS as u64),
        ("WAIT_SUB_BITS", u64::from(abi::WAIT_SUB_BITS)),
        ("HISTO_BLOCKED_BUCKETS", abi::HISTO_BLOCKED_BUCKETS as u64),
        ("LOCK_BYTES", abi::LOCK_BYTES as u64),
    ] {
        has(format!("| `{name}` | {number} |"));
    }
    has(format!("| `POISON_BYTE` | `{:#x}` |", abi::POISON_BYTE));
    let magic = abi::RESULTS_MAGIC.to_le_bytes();
    let magic = std::str::from_utf8(&magic).unwrap();
    has(format!("| `RESULTS_MAGIC` | `{magic}` in memory order |"));
    for (offset, name, code, port) in [
        (
            abi::STUB_HYPERCALL_OFFSET,
            "hypercall",
            &abi::STUB_HYPERCALL_STATIC[..],
            abi::PORT_HYPERCALL,
        ),
        (
            abi::STUB_HALT_OFFSET,
            "halt",
            &abi::STUB_HALT_STATIC,
            abi::PORT_HALT,
        ),
        (
            abi::STUB_SPIN_EXIT_OFFSET,
            "spin_exit",
            &abi::STUB_SPIN_EXIT_STATIC,
            abi::PORT_SPIN_EXIT,
        ),
    ] {
        has(format!("| {offset} | `{name}` | `{}` (", hex(code)));
        has(format!(
            "| `{}` (`out %al, ${port:#x}; ret`) |",
            hex(&stub_out(port))
        ));
    }
    for kind in [abi::NOTE_STUB_PAGE, abi::NOTE_RESULTS, abi::NOTE_HANDSHAKE] {
        has(format!("| `vmm` | {kind} |"));
    }
    let requests: Vec<_> = (0..=u8::MAX).filter_map(Control::from_byte).collect();
    for request in &requests {
        has(format!("| {} | `{request:?}` |", *request as u8));
    }
    let below = section(&abi, "## Ports");
    let described = rows(below)
        .into_iter()
        .filter(|row| row[0].parse::<u8>().is_ok());
    assert_eq!(described.count(), requests.len());
}

#[test]
fn the_abi_page_has_the_handshakes_numbers() {
    let abi = page("docs/reference/guest-abi.md");
    let has = |text: String| assert!(abi.contains(&text), "{text}");
    let magic = handshake::HANDSHAKE_MAGIC.to_le_bytes();
    let magic = std::str::from_utf8(&magic).unwrap();
    has(format!("| `HANDSHAKE_MAGIC` | `{magic}` in memory order |"));
    let version = handshake::HANDSHAKE_VERSION;
    has(format!("| `HANDSHAKE_VERSION` | {version} |"));
    let none = handshake::APIC_ID_NONE;
    has(format!("| `APIC_ID_NONE` | `{none:#x}` |"));
    has(format!("{} (`ADVICE_HALT`)", handshake::ADVICE_HALT));
    has(format!(
        "{} (`ADVICE_GIVE_BACK`)",
        handshake::ADVICE_GIVE_BACK
    ));
    for (name, bit) in [
        ("HOST_SPIN_EXITS", handshake::HOST_SPIN_EXITS),
        ("HOST_READS_SLOTS", handshake::HOST_READS_SLOTS),
        ("HOST_ADVISES", handshake::HOST_ADVISES),
        ("HOST_PREEMPTS", handshake::HOST_PREEMPTS),
    ] {
        has(format!("| {} | `{name}` |", bit.trailing_zeros()));
    }
    let reasons: Vec<_> = (0..=u8::MAX).filter_map(SpinExit::from_byte).collect();
    for reason in &reasons {
        has(format!("| {} | `{reason:?}` |", *reason as u8));
    }
    let described = rows(section(&abi, "## Stub page"));
    let described = described.iter().filter(|row| row[0].len() == 1);
    assert_eq!(described.count(), reasons.len() + 1);
}
