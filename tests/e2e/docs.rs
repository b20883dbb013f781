//! The documents say what the program does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::mem::offset_of;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use guest_payload::abi::handshake::{self, Handshake, HandshakeSlot, SpinExit};
use guest_payload::abi::{
    self, Control, CpuResults, LockObject, Results, SlowPathStats, StubPage, TraceEvent, stub_out,
};
use guest_payload::args::{Args, KEYS};
use guest_payload::lock::{LockKind, TicketBits};
use serde_json::Value;
use vmm::cli::{Cli, Exit};
use vmm::host::checks;
use vmm::lab::cells::Cells;
use vmm::lab::factor::Names;
use vmm::lab::spec::{self, Overrides, Spec};
use vmm::lab::{SpecError, builtin};
use vmm_tests::command::{Vmm, skip};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` whose name ends in `suffix`, without what is built.
fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "book" | ".git") {
            found.extend(files(&path, suffix));
        } else if name.ends_with(suffix) {
            found.push(path);
        }
    }
    found
}

/// README and book.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = files(&root().join("docs"), ".md");
    paths.push(root().join("README.md"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The part of `text` below the heading `title`, up to the next one of its level.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let start = text
        .find(&format!("\n{title}\n"))
        .unwrap_or_else(|| panic!("no {title}"));
    let below = &text[start + title.len() + 2..];
    let level = title.split(' ').next().unwrap();
    let end = below.find(&format!("\n{level} "));
    &below[..end.unwrap_or(below.len())]
}

/// The cells of every table row of `text`, headings and rulers left out.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().collect();
    let is_row = |line: &str| line.starts_with('|');
    let is_ruler = |line: &str| is_row(line) && !line.contains(|c| !"|-".contains(c));
    let mut rows = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let heads = lines.get(at + 1).is_some_and(|next| is_ruler(next));
        if is_row(line) && !is_ruler(line) && !heads {
            let line = line.replace("\\|", "\0");
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().replace('\0', "|")).collect());
        }
    }
    rows
}

/// The first code span of `cell`.
fn code(cell: &str) -> Option<&str> {
    cell.split('`').nth(1)
}

/// The lines of fenced blocks in `language`.
fn fenced<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let mut lines = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        match (fence, line.strip_prefix("```")) {
            (None, Some(name)) => fence = Some(name),
            (Some(_), Some(_)) => fence = None,
            (Some(name), None) if name == language => lines.push(line),
            _ => {}
        }
    }
    lines
}

/// How the reference writes an option: its name and what it takes.
fn written(option: &clap::Arg) -> Option<String> {
    let name = format!("--{}", option.get_long()?);
    if !option.get_action().takes_values() {
        return Some(name);
    }
    let choices: Vec<_> = option
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    let value = if choices.is_empty() || choices.len() > 8 {
        option.get_value_names()?.first()?.to_string()
    } else {
        choices.join("|")
    };
    Some(format!("{name} {value}"))
}

#[test]
fn the_reference_has_every_command_and_option_and_no_other() {
    let reference = page("docs/reference/cli.md");
    let command = Cli::command();
    let mut commands = 0;
    for command in command.get_subcommands() {
        commands += 1;
        let below = section(&reference, &format!("## `vmm {}`", command.get_name()));
        let rows = rows(below);
        let described: BTreeSet<_> = rows.iter().map(|row| code(&row[0]).unwrap()).collect();
        let options: Vec<_> = command
            .get_arguments()
            .filter(|option| !matches!(option.get_id().as_str(), "help" | "version"))
            .collect();
        let expected: BTreeSet<_> = options.iter().filter_map(|o| written(o)).collect();
        assert_eq!(
            described,
            expected.iter().map(String::as_str).collect(),
            "{}",
            command.get_name()
        );
        for option in options {
            let (Some(name), [default]) = (written(option), option.get_default_values()) else {
                continue;
            };
            let row = rows
                .iter()
                .find(|row| code(&row[0]) == Some(&name))
                .unwrap();
            assert_eq!(code(&row[1]), default.to_str(), "{name}");
        }
    }
    assert_eq!(reference.matches("\n## ").count(), commands);
}

/// A shell's words, as far as double quotes go.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (quoted, part) in line.split('"').enumerate() {
        if quoted % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn every_vmm_line_in_the_documents_is_a_command_line() {
    let mut lines = 0;
    for (path, text) in documents() {
        for line in fenced(&text, "sh") {
            let line = line.split('#').next().unwrap().trim();
            let words: Vec<_> = words(line)
                .into_iter()
                .take_while(|word| !matches!(word.as_str(), ">" | "|"))
                .collect();
            if words.first().is_none_or(|word| word != "vmm") {
                continue;
            }
            lines += 1;
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{}: {line}: {error}", path.display());
            }
            if let Some(at) = words.iter().position(|word| *word == "--") {
                let guest = words[at + 1..].join(" ");
                let parsed = Args::parse(&guest, |_| false);
                assert!(parsed.is_ok(), "{}: {line}", path.display());
            }
        }
    }
    assert!(lines > 10);
}

#[test]
fn the_reference_has_every_guest_argument_with_its_default() {
    let reference = page("docs/reference/guest-arguments.md");
    let mut described = BTreeSet::new();
    let mut line = String::new();
    for row in rows(&reference) {
        let Some(word) =
            code(&row[0]).filter(|word| word.contains('=') || word.ends_with("nopvspin"))
        else {
            continue;
        };
        let key = word.split('=').next().unwrap();
        described.insert(key.to_owned());
        if let Some(default) = code(&row[1]) {
            line.push_str(&format!("{key}={default} "));
        }
    }
    let keys = KEYS.strip_prefix("one of ").unwrap();
    assert_eq!(described, keys.split(", ").map(str::to_owned).collect());
    assert_eq!(Args::parse(&line, |_| false), Ok(Args::DEFAULT), "{line}");
}

#[test]
fn the_reference_numbers_each_lock_and_its_cpus() {
    let arguments = rows(&page("docs/reference/guest-arguments.md"));
    for kind in LockKind::ALL {
        let row = arguments
            .iter()
            .find(|row| code(&row[0]) == Some(kind.name()))
            .unwrap();
        assert_eq!(row[2], kind.order().name());
        let most = [TicketBits::Eight, TicketBits::Sixteen].map(|bits| kind.max_cpus(bits));
        let expected = match most {
            [u32::MAX, _] => "no limit".to_owned(),
            [small, large] if small == large => small.to_string(),
            [small, large] => format!("{small}, {large}"),
        };
        assert_eq!(row[3], expected);
    }
    let abi = page("docs/reference/guest-abi.md");
    let numbered: Vec<_> = LockKind::ALL
        .iter()
        .map(|kind| format!("{} `{}`", *kind as u32, kind.name()))
        .collect();
    assert!(abi.contains(&numbered.join(", ")));
}

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

#[test]
fn the_doctor_page_has_every_check() {
    let reference = page("docs/reference/doctor.md");
    let described: BTreeSet<_> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(" |").next())
        .flat_map(|cell| cell.split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .filter(|name| !name.starts_with("host.") && !name.starts_with("checks[]"))
        .filter(|name| name != "schema")
        .collect();
    let checks: BTreeSet<_> = checks::TABLE
        .iter()
        .map(|check| check.id.to_owned())
        .collect();
    assert_eq!(described, checks);
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let described: Vec<_> = rows(&page("docs/reference/exit-codes.md"))
        .iter()
        .map(|row| row[0].parse::<u8>().unwrap())
        .collect();
    let codes = [
        Exit::Done,
        Exit::CheckFailed,
        Exit::Usage,
        Exit::Host,
        Exit::GuestCrashed,
    ];
    assert_eq!(described, codes.map(u8::from));
}

/// Validates what `command --json -` writes.
fn assert_output_fits(command: &str, schema: &str) {
    if !Path::new("/dev/kvm").exists() {
        return skip(command, "there is no /dev/kvm");
    }
    let schema: Value = serde_json::from_str(&page(schema)).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let finished = Vmm::new(command).words("--json -").finish();
    let output: Value = serde_json::from_str(&finished.stdout).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(&output)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(finished.code, 0, "{finished}");
}

#[test]
fn the_doctors_answers_fit_their_schema() {
    assert_output_fits("doctor", "docs/reference/doctor.schema.json");
}

#[test]
fn the_conformance_findings_fit_their_schema() {
    let schema = "docs/reference/conformance.schema.json";
    assert_output_fits("conformance --case unknown-id --case id-above-254", schema);
}

/// Options of `vmm run` and arguments of the payload.
fn names_of_factors() -> Names {
    Names::of(Cli::command().find_subcommand("run").unwrap())
}

#[test]
fn the_built_in_experiments_are_those_that_are_listed() {
    let reference = page("docs/reference/experiments.md");
    let rows = rows(section(&reference, "## Built in"));
    let listed = Vmm::new("experiment --list").finish();
    let lines = rows
        .iter()
        .map(|row| format!("{:12} {}\n", code(&row[0]).unwrap(), row[1]));
    assert_eq!(lines.collect::<String>(), listed.stdout, "{listed}");
    let names = names_of_factors();
    for (row, builtin) in rows.iter().zip(builtin::ALL) {
        let spec = Spec::parse(builtin.text, builtin.name, &Overrides::default(), &names);
        let cells = Cells::of(spec.unwrap()).unwrap();
        let count = cells.count();
        let repetitions = usize::try_from(cells.spec().repetitions).unwrap();
        let sizes = [count, repetitions, count * repetitions].map(|size| size.to_string());
        assert_eq!(row[2..], sizes, "{}", builtin.name);
    }
}

#[test]
fn the_experiments_page_has_every_key_and_what_is_no_factor() {
    let reference = page("docs/reference/experiments.md");
    let keys = section(&reference, "## The specification");
    let keys = rows(keys.split("\n### ").next().unwrap());
    let described: Vec<_> = keys.iter().map(|row| code(&row[0]).unwrap()).collect();
    assert_eq!(described, spec::KEYS);
    let (_, kept) = reference.split_once("Not factors are:").unwrap();
    let kept = rows(kept.split("\n### ").next().unwrap());
    let kept: BTreeSet<_> = kept
        .iter()
        .flat_map(|row| row[0].split('`').skip(1).step_by(2))
        .collect();
    let names = names_of_factors();
    let run = Cli::command().find_subcommand("run").unwrap().clone();
    let options = run.get_arguments().filter_map(|option| option.get_long());
    let arguments = KEYS.trim_start_matches("one of ").split(',').map(str::trim);
    let known: BTreeSet<_> = options.chain(arguments).collect();
    for name in &known {
        let is_kept = matches!(names.knob(name), Err(SpecError::Kept { .. }));
        assert_eq!(is_kept, kept.contains(name), "{name}");
    }
    // `guest` is the argument of `vmm run` that is no option.
    for name in kept.iter().filter(|name| **name != "guest") {
        assert!(known.contains(name), "{name}");
    }
}

/// A heading's anchor, as mdBook and GitHub make it.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().to_lowercase();
    letters
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ => letter.is_alphanumeric().then_some(letter),
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for (path, text) in documents() {
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            links += 1;
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            let link = format!("{}: {target}", path.display());
            assert!(there.exists(), "{link}");
            if fragment.is_empty() {
                continue;
            }
            let there = fs::read_to_string(there).unwrap();
            let mut headings = there.lines().filter(|line| line.starts_with('#'));
            assert!(
                headings.any(|heading| anchor(heading) == fragment),
                "{link}"
            );
        }
    }
    assert!(links > 30);
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = page("docs/SUMMARY.md");
    let docs = root().join("docs");
    for path in files(&docs, ".md") {
        let name = path.strip_prefix(&docs).unwrap().display().to_string();
        assert!(
            name == "SUMMARY.md" || summary.contains(&format!("({name})")),
            "{name}"
        );
    }
}

#[test]
fn every_source_file_that_is_named_exists() {
    let sources: Vec<_> = files(&root(), ".rs")
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    for (path, text) in documents() {
        let spans = text.split(|c: char| c == '`' || c.is_whitespace());
        let names = spans.map(|span| span.trim_end_matches([':', ',', ';', '.', ')']));
        for name in names.filter(|name| name.ends_with(".rs")) {
            let is_there = sources
                .iter()
                .any(|source| source.ends_with(&format!("/{name}")));
            assert!(is_there, "{}: {name}", path.display());
        }
    }
}

#[test]
fn every_loom_test_that_is_named_exists() {
    let orderings = page("docs/design/orderings.md");
    let sources: String = files(&root(), ".rs")
        .iter()
        .filter(|path| path.display().to_string().contains("loom"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut names = 0;
    for row in rows(&orderings).iter().filter(|row| row.len() == 5) {
        for name in row[4].split('`').skip(1).step_by(2) {
            let name = name.rsplit("::").next().unwrap();
            if name != "…" {
                names += 1;
                assert!(sources.contains(&format!("fn {name}(")), "{name}");
            }
        }
    }
    assert!(names > 10);
}

#[test]
fn the_documents_speak_of_the_project_alone() {
    let this_checkout = env!("CARGO_MANIFEST_DIR").trim_end_matches("/vmm");
    for (path, text) in documents() {
        for word in [
            this_checkout,
            "/root",
            "/home/",
            "/tmp/",
            "localhost",
            "TODO",
            "FIXME",
        ] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}
