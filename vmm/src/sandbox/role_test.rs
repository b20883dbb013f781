//! Each role tries what it may not. A child process does, because it dies of it.

use std::fs::File;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::str::FromStr;
use std::thread;

use clap::ValueEnum;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use super::{Error, Mode, Role, Sandbox};

/// What a thread tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Open,
    Listen,
    ChangeFolder,
    StartThread,
    Rename,
    LookUp,
    Panic,
}

impl Attempt {
    const ALL: [Self; 7] = [
        Self::Open,
        Self::Listen,
        Self::ChangeFolder,
        Self::StartThread,
        Self::Rename,
        Self::LookUp,
        Self::Panic,
    ];

    fn carry_out(self) {
        match self {
            Self::Open => drop(File::open("/dev/null")),
            Self::Listen => drop(TcpListener::bind("127.0.0.1:0")),
            Self::ChangeFolder => drop(std::env::set_current_dir("/")),
            Self::StartThread => drop(thread::spawn(|| ()).join()),
            // Twice: it is told once.
            Self::Rename => {
                let _ = std::fs::rename("/nothing", "/nothing at all");
                let _ = std::fs::rename("/nothing", "/nothing at all");
            }
            Self::LookUp => drop(("localhost", 1).to_socket_addrs()),
            Self::Panic => panic!("on purpose"),
        }
    }

    /// The call that is told of.
    fn told(self) -> Option<&'static str> {
        match self {
            Self::Open => Some("openat"),
            Self::Listen => Some("socket"),
            Self::ChangeFolder => Some("chdir"),
            Self::Rename => Some("rename"),
            Self::LookUp => Some("socket"),
            // The C library blocks all signals meanwhile: the process ends without a line.
            Self::StartThread | Self::Panic => None,
        }
    }
}

impl FromStr for Attempt {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let named = |attempt: &Self| format!("{attempt:?}") == text;
        Self::ALL.into_iter().find(named).ok_or(())
    }
}

/// Not a test: the child.
#[test]
#[ignore = "it dies; the others start it"]
fn child() {
    let Ok(asked) = std::env::var("VMM_SANDBOX_ATTEMPT") else {
        return;
    };
    let [mode, role, attempt] = asked.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{asked}");
    };
    let mode = Mode::from_str(mode, false).unwrap();
    let role = Role::ALL[role.parse::<usize>().unwrap()];
    let attempt: Attempt = attempt.parse().unwrap();
    let sandbox = Sandbox::new(mode).unwrap();
    let thread = thread::Builder::new()
        .name("tried".to_owned())
        .spawn(move || {
            sandbox.enter(role);
            attempt.carry_out();
        });
    drop(thread.unwrap().join());
    println!("it lives");
}

fn tried(role: Role, attempt: Attempt) -> Output {
    tried_under("on", role, attempt)
}

fn tried_under(mode: &str, role: Role, attempt: Attempt) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::role_test::child"])
        .args(["--ignored", "--nocapture"])
        // A backtrace opens the program's file.
        .env_remove("RUST_BACKTRACE")
        .env_remove("RUST_LIB_BACKTRACE")
        .env(
            "VMM_SANDBOX_ATTEMPT",
            format!("{mode} {} {attempt:?}", role as usize),
        )
        .output()
        .unwrap()
}

/// The lines on forbidden calls.
fn told(stderr: &str) -> Vec<&str> {
    let lines = stderr.lines();
    lines
        .filter(|told| told.starts_with("vmm: sandbox: "))
        .collect()
}

fn assert_dies(role: Role, attempt: Attempt) {
    let output = tried(role, attempt);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let told = told(&stderr);
    match (attempt.told(), &told[..]) {
        (None, []) => {}
        (Some(call), [told]) => {
            let line = format!("vmm: sandbox: thread tried ({role}) may not call {call};");
            assert!(told.starts_with(&line), "{told}");
        }
        _ => panic!("{role}, {attempt:?}: {stderr}"),
    }
    assert_eq!(
        output.status.signal(),
        Some(libc::SIGSYS),
        "{role}, {attempt:?}"
    );
}

#[test]
fn no_role_may_leave_its_folder() {
    for role in Role::ALL {
        assert_dies(role, Attempt::ChangeFolder);
    }
}

#[test]
fn who_has_no_files_opens_none() {
    for role in [
        Role::Vcpu,
        Role::Loop,
        Role::Slices,
        Role::Door,
        Role::Api,
        Role::Debugger,
    ] {
        assert_dies(role, Attempt::Open);
    }
}

#[test]
fn who_has_no_peers_makes_no_socket() {
    for role in Role::ALL {
        if !matches!(role, Role::Migration | Role::Arrival) {
            assert_dies(role, Attempt::Listen);
        }
    }
}

#[test]
fn only_those_who_start_threads_may() {
    for role in Role::ALL {
        if !matches!(role, Role::First | Role::Door | Role::Arrival) {
            assert_dies(role, Attempt::StartThread);
        }
    }
}

#[test]
fn a_migration_replaces_no_file() {
    for role in [Role::Migration, Role::Answer] {
        assert_dies(role, Attempt::Rename);
    }
}

#[test]
fn a_call_that_is_let_through_is_told_once() {
    let output = tried_under("log", Role::Vcpu, Attempt::Rename);
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.contains("it lives"), "{stdout}");
    let [told] = told(&stderr)[..] else {
        panic!("{stderr}");
    };
    let line = "vmm: sandbox: thread tried (vCPU) may not call rename; it was let through";
    assert!(told.starts_with(line), "{told}");
}

#[test]
fn a_panic_is_still_told() {
    for role in Role::ALL {
        let output = tried(role, Attempt::Panic);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("on purpose"), "{role}: {stderr}");
        assert!(!stderr.contains("sandbox:"), "{role}: {stderr}");
    }
}

#[test]
fn a_kernel_without_filters_is_found_before_anything_runs() {
    let looked = thread::spawn(|| {
        let refused = [(libc::SYS_seccomp, Vec::new())].into_iter().collect();
        let enosys = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
        let filter = SeccompFilter::new(refused, SeccompAction::Allow, enosys, TargetArch::x86_64);
        let filter = BpfProgram::try_from(filter.unwrap()).unwrap();
        apply_filter(&filter).unwrap();
        [Mode::On, Mode::Log, Mode::Off].map(Sandbox::new)
    });
    let [on, log, off] = looked.join().unwrap();
    for (refused, switch) in [(on, "--sandbox on"), (log, "--sandbox log")] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Error::Missing { .. }), "{refused}");
        assert!(refused.to_string().contains(switch), "{refused}");
    }
    off.unwrap();
}

#[test]
fn a_migration_looks_names_up() {
    let output = tried(Role::Migration, Attempt::LookUp);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_dies(Role::Vcpu, Attempt::LookUp);
}
