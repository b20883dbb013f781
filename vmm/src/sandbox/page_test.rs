//! `docs/reference/sandbox.md` has the lists as they are.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::call::{Call, Only};
use super::{Role, calls};

const PAGE: &str = "../docs/reference/sandbox.md";
const BEGIN: &str = "<!-- the lists: made of vmm/src/sandbox/calls -->\n";

fn only(only: Only) -> String {
    match only {
        Only::Anything => String::new(),
        Only::Request(request) => format!("`{}`", request.name),
        Only::PlainMemory => "anonymous, never executable".to_owned(),
        Only::NeverExecuted => "never executable".to_owned(),
        Only::ThisProcess => "this process".to_owned(),
        Only::First(named) | Only::Second(named) => format!("`{}`", named.name),
        Only::Thread => "`CLONE_THREAD`".to_owned(),
        Only::Kvm => "KVM's".to_owned(),
        Only::Refused => "else EPERM".to_owned(),
        Only::Unknown => "ENOSYS".to_owned(),
    }
}

fn table(page: &mut String, calls: &[Call]) {
    page.push_str("\n| call | only | for |\n|---|---|---|\n");
    for call in calls {
        let (name, only) = (call.name(), only(call.only));
        writeln!(page, "| `{name}` | {only} | {} |", call.why).unwrap();
    }
}

fn lists() -> String {
    let mut page = BEGIN.to_owned();
    page.push_str("\n| thread | may call what is listed under |\n|---|---|\n");
    let mut lists = vec![calls::every::CALLS];
    for role in Role::ALL {
        let own = role.own_calls().iter();
        let titles: Vec<_> = [calls::every::CALLS.title]
            .into_iter()
            .chain(own.map(|list| list.title))
            .collect();
        writeln!(page, "| {role} | {} |", titles.join("; ")).unwrap();
        for list in role.own_calls() {
            if !lists.iter().any(|known| known.title == list.title) {
                lists.push(*list);
            }
        }
    }
    for list in lists {
        write!(page, "\n## {}\n", list.title).unwrap();
        table(&mut page, list.calls);
    }
    page
}

#[test]
fn the_page_lists_what_is_allowed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let at = page.find(BEGIN).unwrap();
    if std::env::var_os("VMM_WRITE_PAGE").is_some() {
        fs::write(&path, format!("{}{}", &page[..at], lists())).unwrap();
        return;
    }
    assert_eq!(
        &page[at..],
        lists(),
        "run this test once more with VMM_WRITE_PAGE=1"
    );
}

#[test]
fn no_list_has_a_call_twice_and_every_row_has_a_reason() {
    let lists = Role::ALL.iter().flat_map(|role| role.own_calls());
    for list in lists.copied().chain([calls::every::CALLS]) {
        for (index, call) in list.calls.iter().enumerate() {
            assert_ne!(call.name(), "?", "{call:?}");
            assert!(!call.why.is_empty(), "{call:?}");
            let again = &list.calls[index + 1..];
            let same = |other: &Call| other.number == call.number && other.only == call.only;
            assert!(!again.iter().any(same), "{call:?}");
        }
    }
}
