//! `docs/reference/sandbox.md` has the lists as they are.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::call::{Call, Only};
use super::{Role, calls};

const PAGE: &str = "../docs/reference/sandbox.md";
/// Lists of several roles, which are no role's whole list: under a title each.
const SHARED: [(&str, &[Call]); 4] = [
    ("Who starts threads", calls::threads::STARTS),
    ("Who lets the machine go on", calls::machine::GOES_ON),
    ("Who saves the machine", calls::machine::SAVED),
    ("Both ends of a migration", calls::migration::WIRE),
];
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
        Only::Refused => "else EPERM".to_owned(),
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
    page.push_str("\n## Every thread\n");
    table(&mut page, calls::every::CALLS);
    let mut told = Vec::new();
    for (title, list) in SHARED {
        write!(page, "\n## {title}\n").unwrap();
        table(&mut page, list);
        told.push((list, title));
    }
    for role in Role::ALL {
        let name = role.name();
        write!(page, "\n## {}{}\n", name[..1].to_uppercase(), &name[1..]).unwrap();
        let own = role.own_calls();
        if own.is_empty() {
            page.push_str("\nNothing beyond that.\n");
        }
        for list in own {
            match told.iter().find(|(known, _)| std::ptr::eq(*known, *list)) {
                Some((_, other)) => writeln!(page, "\nWhat is listed under *{other}*.").unwrap(),
                None => {
                    table(&mut page, list);
                    told.push((list, name));
                }
            }
        }
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
        for (index, call) in list.iter().enumerate() {
            assert_ne!(call.name(), "?", "{call:?}");
            assert!(!call.why.is_empty(), "{call:?}");
            let again = &list[index + 1..];
            let same = |other: &Call| other.number == call.number && other.only == call.only;
            assert!(!again.iter().any(same), "{call:?}");
        }
    }
}
