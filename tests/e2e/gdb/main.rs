//! `--gdb`: a real gdb looks into the payload and into Linux, and bare packets where gdb is too
//! polite.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod looks;
mod sessions;
mod stops;

use guest_payload::IMAGE;
use object::{Object, ObjectSymbol};
use vmm_tests::command::{Folder, Vmm};
use vmm_tests::gdb::{Remote, Target};

/// Ends by itself soon.
const SHORT: &str = "-- seconds=0.2 ring=0";

/// Runs until somebody ends it.
const LONG: &str = "-- seconds=90 ring=0";

/// Two vCPUs that wait for a debugger at a Unix socket.
fn held(folder: &Folder, guest: &str) -> Target {
    let place = format!("unix:{}", folder.path("gdb").display());
    Target::start(&Vmm::run("--vcpus 2 --gdb").arg(place).words(guest))
}

/// The same, and the guest runs.
fn running(folder: &Folder, switches: &str, guest: &str) -> Target {
    let place = format!("unix:{},nowait", folder.path("gdb").display());
    let run = Vmm::run("--vcpus 2").words(switches).words("--gdb");
    Target::start(&run.arg(place).words(guest))
}

/// The address of a function of the payload, of the only one where it is generic.
fn address(function: &str) -> u64 {
    let file = object::File::parse(IMAGE).unwrap();
    let named = |symbol: &object::Symbol<'_, '_>| {
        let name = rustc_demangle::demangle(symbol.name().unwrap_or(""));
        let name = format!("{name:#}");
        name.strip_prefix(function)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::<"))
    };
    let found = file.symbols().find(named);
    found.unwrap_or_else(|| panic!("no {function}")).address()
}

/// Every line of `expected` is in `said`, in this order.
fn says(said: &str, expected: &[&str]) {
    let mut rest = said;
    for line in expected {
        let at = rest.find(line);
        let at = at.unwrap_or_else(|| panic!("no `{line}` in what is left of\n{said}"));
        rest = &rest[at + line.len()..];
    }
}

/// A register by gdb's number, of the thread that `Hg` chose.
fn u64_register(gdb: &mut Remote, number: u32) -> u64 {
    let hex = gdb.ask(&format!("p{number:x}"));
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn rip(gdb: &mut Remote) -> u64 {
    u64_register(gdb, 16)
}
