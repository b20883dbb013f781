//! The documents' tables of what the code has tables of: locks, handlers, policies, experiments.
//!
//! Each stands between two comments, `<!-- from the code: NAME -->` and `<!-- until here -->`. With `UPDATE=1` in the
//! environment a test writes what it would have compared.

use std::fmt::Write;
use std::fs;

use guest_payload::lock::{LockKind, TicketBits};
use vmm::cli::described_run;
use vmm::lab::builtin;
use vmm::lab::cells::Cells;
use vmm::lab::factor::Names;
use vmm::lab::spec::{Overrides, Spec};
use vmm::ple::config::OnSpin;
use vmm::sched::config::{ADVERSARIAL, PolicyKind};

use super::{page, root};

/// Compares the part of `page` called `name` with `table`, or puts it there.
fn assert_written(path: &str, name: &str, table: &str) {
    const END: &str = "<!-- until here -->";
    let text = page(path);
    let begin = format!("<!-- from the code: {name} -->\n");
    let start = text
        .find(&begin)
        .unwrap_or_else(|| panic!("{path}: no {begin}"))
        + begin.len();
    let end = start + text[start..].find(END).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        let new = format!("{}\n{table}\n{}", &text[..start], &text[end..]);
        return fs::write(root().join(path), new).unwrap();
    }
    assert_eq!(
        text[start..end].trim(),
        table.trim(),
        "{path}: {name}; `UPDATE=1 cargo test -p vmm --test docs tables` writes it"
    );
}

/// Compares what the schema of a run's report lets `key` be with `names`, or puts them there.
fn assert_allowed(key: &str, names: &[&str]) {
    let path = "docs/reference/run-report.schema.json";
    let text = page(path);
    let begin = format!("\"{key}\": {{ \"enum\": [");
    let start = text
        .find(&begin)
        .unwrap_or_else(|| panic!("{path}: no {begin}"))
        + begin.len();
    let end = start + text[start..].find(']').unwrap();
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let list = quoted.join(", ");
    if std::env::var_os("UPDATE").is_some() {
        let new = format!("{}{list}{}", &text[..start], &text[end..]);
        return fs::write(root().join(path), new).unwrap();
    }
    assert_eq!(
        &text[start..end],
        list,
        "{path}: {key}; `UPDATE=1 cargo test -p vmm --test docs tables` writes it"
    );
}

/// One test: with `UPDATE=1` both write the same file.
#[test]
fn the_handlers_and_policies_of_the_schema_are_those_of_the_tables() {
    assert_allowed("on_spin", &OnSpin::ALL.map(OnSpin::name));
    let mut policies = PolicyKind::PLAIN.map(PolicyKind::name).to_vec();
    policies.push(ADVERSARIAL);
    assert_allowed("policy", &policies);
}

#[test]
fn the_locks_are_those_of_the_reference() {
    let mut table =
        "| name | what | order | CPUs with small, large tickets |\n|---|---|---|---|\n".to_owned();
    for kind in LockKind::ALL {
        let most = [TicketBits::Eight, TicketBits::Sixteen].map(|bits| kind.max_cpus(bits));
        let most = match most {
            [u32::MAX, _] => "no limit".to_owned(),
            [small, large] if small == large => small.to_string(),
            [small, large] => format!("{small}, {large}"),
        };
        let what = kind.facts(TicketBits::Eight).what;
        let (name, order) = (kind.name(), kind.order().name());
        writeln!(table, "| `{name}` | {what} | {order} | {most} |").unwrap();
    }
    assert_written("docs/reference/guest-arguments.md", "locks", &table);
}

#[test]
fn the_bytes_of_the_locks_are_those_of_the_reference() {
    let mut table = "| number | lock | bytes |\n|---|---|---|\n".to_owned();
    for kind in LockKind::ALL {
        let bytes = kind.facts(TicketBits::Eight).bytes;
        writeln!(table, "| {} | `{}` | {bytes} |", kind as u32, kind.name()).unwrap();
    }
    assert_written("docs/reference/guest-abi.md", "bytes of locks", &table);
}

/// What a lock's own file says of its orderings.
#[test]
fn the_orderings_of_the_locks_are_those_of_their_files() {
    let mut table =
        "| file | operation | ordering | pairs with | loom model |\n|---|---|---|---|---|\n"
            .to_owned();
    for kind in LockKind::ALL {
        let file = format!("{}.rs", kind.file());
        let text = page(&format!("guest-payload/src/lock/{file}"));
        let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
        for row in rows.filter(|row| !row.starts_with("operation")) {
            writeln!(table, "| `{file}` | {row}").unwrap();
        }
    }
    assert_written("docs/design/orderings.md", "orderings of locks", &table);
}

#[test]
fn the_handlers_are_those_of_the_reference() {
    let mut table =
        "| handler | Linux, year | commit | looks at | the pCPU goes to |\n|---|---|---|---|---|\n"
            .to_owned();
    for handler in OnSpin::ALL {
        writeln!(table, "| `{}` | {} |", handler.name(), handler.reference()).unwrap();
    }
    assert_written("docs/reference/ple.md", "handlers", &table);
}

#[test]
fn the_policies_are_those_of_the_reference() {
    let mut table = "| policy | next is | then |\n|---|---|---|\n".to_owned();
    for policy in PolicyKind::PLAIN {
        let reference = policy.reference().unwrap();
        writeln!(table, "| `{}` | {reference} |", policy.name()).unwrap();
    }
    assert_written("docs/reference/scheduling.md", "policies", &table);
}

#[test]
fn the_experiments_are_those_of_the_reference() {
    let names = Names::of(&described_run());
    let mut table =
        "| name | what it is about | cells | repetitions | runs |\n|---|---|---|---|---|\n"
            .to_owned();
    for builtin in builtin::ALL {
        let spec = Spec::parse(builtin.text, builtin.name, &Overrides::default(), &names);
        let cells = Cells::of(spec.unwrap()).unwrap();
        let (spec, count) = (cells.spec(), cells.count());
        let repetitions = usize::try_from(spec.repetitions).unwrap();
        let about = &spec.description;
        let runs = count * repetitions;
        writeln!(
            table,
            "| `{}` | {about} | {count} | {repetitions} | {runs} |",
            builtin.name
        )
        .unwrap();
    }
    assert_written("docs/reference/experiments.md", "experiments", &table);
}

#[test]
fn every_step_in_the_life_of_a_kick_is_a_function_of_its_file() {
    let architecture = page("docs/design/architecture.md");
    let mut steps = 0;
    for line in architecture.lines().filter(|line| line.starts_with('|')) {
        let spans: Vec<_> = line.split('`').skip(1).step_by(2).collect();
        let Some(at) = spans.iter().position(|span| span.ends_with(".rs")) else {
            continue;
        };
        let (file, function) = (spans[at], spans[at + 1]);
        let source = page(file);
        let is_there = ["(", "<"]
            .iter()
            .any(|after| source.contains(&format!("fn {function}{after}")));
        assert!(is_there, "{file} has no function {function}");
        steps += 1;
    }
    assert!(steps > 15, "{steps}");
}
