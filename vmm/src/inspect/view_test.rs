use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, process};

use serde_json::Value;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::*;
use crate::cpu::lapic::LocalApic;
use crate::inspect::{Lapic, Mode};
use crate::report::wrap::WIDTH;
use crate::snapshot::{Section as Content, write};

const SCHEMA_FILE: &str = include_str!("../../../docs/reference/inspect.schema.json");
const REFERENCE: &str = include_str!("../../../docs/reference/inspect.md");
/// A machine of `vmm` 0.1.0 whose second vCPU has a hidden kick.
const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/golden/machine-v1.snap"
);

/// A file that goes away.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(env::temp_dir().join(format!("vmm-view-{}-{next}", process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The golden machine with other content in some sections.
fn changed(change: impl Fn(SectionKind, u32, Vec<u8>) -> Vec<u8>) -> SnapshotView {
    let golden = CheckedSnapshot::open(Path::new(GOLDEN)).unwrap();
    let mut sections = Vec::new();
    for listed in golden.sections() {
        if let Label::Known(kind, instance) = listed.label
            && kind != SectionKind::MemoryMap
        {
            let content = golden.section(kind, instance).unwrap().to_vec();
            sections.push(Content::new(
                kind,
                instance,
                change(kind, instance, content),
            ));
        }
    }
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap();
    memory.write_slice(&[1], GuestAddress(0x10_0000)).unwrap();
    let file = File::new();
    write(&file.0, sections, &memory, &mut |_| {}).unwrap();
    SnapshotView::of(&CheckedSnapshot::open(&file.0).unwrap())
}

fn golden() -> SnapshotView {
    SnapshotView::of(&CheckedSnapshot::open(Path::new(GOLDEN)).unwrap())
}

fn with_blueprint(change: impl Fn(&mut Blueprint)) -> SnapshotView {
    changed(|kind, _, content| match kind {
        SectionKind::Machine => {
            let mut blueprint = postcard::from_bytes(&content).unwrap();
            change(&mut blueprint);
            postcard::to_stdvec(&blueprint).unwrap()
        }
        _ => content,
    })
}

fn faults(value: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(SCHEMA_FILE).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults = validator.iter_errors(value);
    faults.map(|fault| fault.to_string()).collect()
}

fn assert_fits(view: &SnapshotView) {
    let value: Value = serde_json::from_str(&view.json().unwrap()).unwrap();
    assert_eq!(faults(&value), Vec::<String>::new());
}

/// Names of all fields of `value`.
fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                found.insert(name.clone());
                names(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

#[test]
fn json_is_what_the_schema_and_the_reference_say() {
    let schema: Value = serde_json::from_str(SCHEMA_FILE).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    let view = golden();
    assert_fits(&view);
    let mut value: Value = serde_json::from_str(&view.json().unwrap()).unwrap();
    let mut fields = BTreeSet::new();
    names(&value, &mut fields);
    for name in fields {
        // By itself, at the end of a path, or within one.
        let written = [
            format!("`{name}`"),
            format!(".{name}`"),
            format!("`{name}."),
            format!("`{name}[]."),
            format!(".{name}."),
            format!(".{name}[]."),
        ];
        assert!(
            written.iter().any(|text| REFERENCE.contains(text)),
            "{name}"
        );
    }
    value["novelty"] = 1.into();
    assert!(!faults(&value).is_empty());
}

#[test]
fn a_hidden_kick_is_seen_at_the_first_look() {
    let view = golden();
    assert_eq!((view.hidden_kicks, view.faults.len()), (1, 0));
    let table = view.table();
    let first = table.lines().next().unwrap();
    assert!(
        first.starts_with("GOOD: ") && first.ends_with("; 1 hidden kick"),
        "{first}"
    );
    let kicked = view.vcpus.iter().find(|vcpu| vcpu.hidden_kick).unwrap();
    assert!(kicked.pv_unhalted && !kicked.interrupts_enabled);
    let row = table
        .lines()
        .find(|line| line.contains("hidden ") && line.contains(&kicked.rip.to_string()))
        .unwrap();
    assert!(row.contains("running") && row.contains(" off "), "{row}");
    assert!(
        table.lines().all(|line| line.chars().count() <= WIDTH),
        "{table}"
    );
}

#[test]
fn text_from_the_file_moves_no_cursor_and_fills_no_screen() {
    let evil = "\x1b[2J\u{9b}31m\u{202e}\r\n\0ä".to_owned() + &"x".repeat(100_000);
    let view = with_blueprint(|blueprint| {
        blueprint.guest.clone_from(&evil);
        blueprint.cmdline.clone_from(&evil);
    });
    let table = view.table();
    let harmless = |letter: char| letter == '\n' || !letter.is_control() && letter != '\u{202e}';
    assert!(table.chars().all(harmless), "{table}");
    assert!(
        table.contains(r"\u{1b}[2J") && table.contains("letters more"),
        "{table}"
    );
    assert!(table.len() < 5000, "{}", table.len());
    let json = view.json().unwrap();
    assert!(json.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["machine"]["guest"], evil);
}

#[test]
fn a_machine_that_cannot_be_is_a_fault_and_costs_nothing() {
    type Change = fn(&mut Blueprint);
    let cases: [(&str, Change); 5] = [
        ("vCPUs", |blueprint| blueprint.cores = u32::MAX),
        ("topology", |blueprint| blueprint.sockets = 0),
        ("memory", |blueprint| blueprint.memory_bytes = 0),
        ("memory", |blueprint| blueprint.memory_bytes = u64::MAX),
        ("memory", |blueprint| blueprint.memory_bytes = 1 << 30),
    ];
    for (word, change) in cases {
        let view = with_blueprint(change);
        assert!(view.faults[0].contains(word), "{:?}", view.faults);
        assert!(view.table().starts_with("DAMAGED"));
        assert_fits(&view);
    }
}

#[test]
fn a_part_that_cannot_be_understood_hides_no_other() {
    for broken in [
        SectionKind::Machine,
        SectionKind::Host,
        SectionKind::Clock,
        SectionKind::Devices,
        SectionKind::Vcpu,
    ] {
        let view = changed(|kind, _, content| {
            if kind == broken {
                vec![0xff; 40]
            } else {
                content
            }
        });
        assert!(!view.faults.is_empty());
        let there = [
            (SectionKind::Machine, view.machine.is_some()),
            (SectionKind::Host, view.host.is_some()),
            (SectionKind::Clock, view.clock.is_some()),
            (SectionKind::Devices, view.devices.is_some()),
            (SectionKind::Vcpu, !view.vcpus.is_empty()),
        ];
        for (kind, is_there) in there {
            assert_eq!(is_there, kind != broken, "{broken}: {kind}");
        }
        assert_eq!(view.sections.len(), golden().sections.len());
        assert_fits(&view);
    }
}

#[test]
fn a_local_apic_is_read_as_it_lies_in_its_page() {
    let mut state = kvm_bindings::kvm_lapic_state::default();
    let mut put = |offset: usize, value: u32| {
        for (at, byte) in value.to_le_bytes().into_iter().enumerate() {
            state.regs[offset + at] = byte.cast_signed();
        }
    };
    put(0x20, 0x0300_0000);
    put(0x80, 0x20);
    put(0xf0, 0x1ff);
    put(0x110, 1 << 1);
    put(0x270, 1 << 31);
    put(0x320, 2 << 17 | 0xec);
    let xapic = Lapic::of_kvm(0xfee0_0800, &state);
    assert_eq!((xapic.id, xapic.tpr, xapic.mode), (3, 0x20, Mode::Xapic));
    assert_eq!((xapic.requested, xapic.in_service), (vec![255], vec![33]));
    let text = Lapic::of_kvm(0xfee0_0800, &state).to_string();
    assert_eq!(
        text,
        "xAPIC on, TPR 0x20, timer deadline 0xec, IRR 0xff, ISR 0x21"
    );
    let x2apic = Lapic::of_kvm(0xfee0_0c00, &state);
    assert_eq!((x2apic.id, x2apic.mode), (0x0300_0000, Mode::X2apic));
    assert_eq!(Lapic::of_kvm(0xfee0_0000, &state).mode, Mode::Disabled);

    let mut ours = LocalApic::new(300, false);
    ours.mmio_write(0xfee0_0080, &[0x30, 0, 0, 0]);
    ours.mmio_write(0xfee0_00f0, &[0xff, 1, 0, 0]);
    ours.mmio_write(0xfee0_0320, &[0x40, 0, 1, 0]);
    let ours = Lapic::of_vmm(300, &ours.save());
    assert_eq!((ours.id, ours.tpr, ours.enabled), (300, 0x30, true));
    assert_eq!(ours.to_string(), "xAPIC on, TPR 0x30, no timer");
}
