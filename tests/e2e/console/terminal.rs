//! A run at a terminal.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vmm_tests::command::{self, Finished, Folder, binary};

use super::{ECHO_DONE, echo, finish, read_until};

/// A shell in a new terminal, and the guest in the shell.
struct Terminal {
    child: Child,
    folder: Folder,
}

impl Terminal {
    /// Runs the shell's `script`, in which `$VMM` runs the guest. Returns once it has shown `signs`.
    fn start(folder: Folder, script: &str, signs: &[&[u8]]) -> Self {
        let guest = folder.file("guest", &echo());
        let vmm = format!(
            "{} run --vcpus 1 --timeout 60 {}",
            binary().display(),
            guest.display()
        );
        let script = format!(
            "cd {}; tty > tty; stty -a > before; {script}",
            folder.path("").display()
        );
        let mut child = Command::new("script")
            .args(["-qefc", &script, "/dev/null"])
            .env("VMM", vmm)
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        read_until(&mut child, signs);
        Self { child, folder }
    }

    fn send(&mut self, keys: &[u8]) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(keys).unwrap();
        input.flush().unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = fs::read_to_string(self.folder.path("pid")).unwrap();
        assert!(command::signal(name, pid.trim().parse().unwrap()));
    }

    fn wait_until_raw(&self) {
        let tty = self.modes("tty");
        let limit = Instant::now() + Duration::from_secs(60);
        let is_raw = || {
            let modes = Command::new("stty").args(["-F", tty.trim(), "-a"]).output();
            String::from_utf8_lossy(&modes.unwrap().stdout).contains("-icanon")
        };
        while !is_raw() {
            assert!(Instant::now() < limit, "the terminal is not taken again");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The terminal's modes as the shell saw them.
    fn modes(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path(name)).unwrap()
    }

    fn assert_restored(self, what: &str) -> Finished {
        let Self { child, folder } = self;
        let finished = finish(child);
        let [before, after] = ["before", "after"].map(|name| fs::read_to_string(folder.path(name)));
        assert!(!before.as_ref().unwrap().is_empty());
        assert_eq!(before.unwrap(), after.unwrap(), "{what}: {finished}");
        finished
    }
}

/// The guest's prompt.
const GUEST_RUNS: &[u8] = b">";

/// What the run says when it has taken the terminal, which may be before the guest's prompt.
const TERMINAL_IS_TAKEN: &[u8] = b"Ctrl-A h helps\r\n";

const BOTH: &[&[u8]] = &[GUEST_RUNS, TERMINAL_IS_TAKEN];

/// Runs `$VMM`, notes its process and, when it is over, the terminal's modes.
const RUN: &str = "sh -c 'echo $$ > pid; exec $VMM'; code=$?; stty -a > after; exit $code";

#[test]
fn keys_are_the_guests_and_control_a_x_leaves() {
    let mut terminal = Terminal::start(Folder::new("console-keys"), RUN, BOTH);
    // Ctrl-C, Ctrl-Z, Ctrl-D, Enter and Ctrl-A: all of them come back.
    terminal.send(b"a\x03\x1a\x04\r\x01\x01z");
    let shown = read_until(&mut terminal.child, &[b"z"]);
    assert_eq!(shown, b"a\x03\x1a\x04\r\x01z");
    terminal.send(b"\x01h");
    assert!(!read_until(&mut terminal.child, &[b"x"]).is_empty());
    terminal.send(b"\x01x");
    let finished = terminal.assert_restored("Ctrl-A x");
    assert_eq!(finished.code, 0, "{finished}");
    assert!(
        finished.stdout.contains("STOPPED from its console"),
        "{finished}"
    );
}

#[test]
fn the_terminal_comes_back_however_the_run_ends() {
    for (signal, code) in [
        ("TERM", 1),
        ("INT", 1),
        ("ABRT", 134),
        ("QUIT", 131),
        ("SEGV", 139),
    ] {
        let folder = Folder::new(&format!("console-{signal}"));
        let terminal = Terminal::start(folder, RUN, BOTH);
        terminal.signal(signal);
        let finished = terminal.assert_restored(signal);
        assert_eq!(finished.code, code, "{signal}: {finished}");
    }
    let mut terminal = Terminal::start(Folder::new("console-guest-end"), RUN, BOTH);
    terminal.send(b"q");
    let finished = terminal.assert_restored("the guest's own end");
    assert_eq!(finished.code, ECHO_DONE, "{finished}");
}

#[test]
fn a_stopped_run_gives_the_terminal_back_until_it_goes_on() {
    let script = "set -m; sh -c 'echo $$ > pid; exec $VMM'; stty -a > stopped; \
                  echo '<stopped>'; fg > /dev/null; code=$?; stty -a > after; exit $code";
    let mut terminal = Terminal::start(Folder::new("console-stop"), script, BOTH);
    terminal.signal("TSTP");
    read_until(&mut terminal.child, &[b"<stopped>"]);
    assert_eq!(terminal.modes("stopped"), terminal.modes("before"));
    terminal.wait_until_raw();
    // Echoed by the guest: by the terminal it would come back as `^C`.
    terminal.send(b"\x03y");
    let shown = read_until(&mut terminal.child, &[b"y"]);
    assert!(shown.ends_with(b"\x03y"), "{}", shown.escape_ascii());
    terminal.send(b"q");
    assert_eq!(terminal.assert_restored("fg").code, ECHO_DONE);
}

#[test]
fn a_run_in_the_background_leaves_the_terminal_alone() {
    let script = "set -m; sh -c 'echo $$ > pid; exec $VMM' & \
                  read key; stty -a > after; kill -TERM $(cat pid); wait; echo \"key $key\"";
    let mut terminal = Terminal::start(Folder::new("console-background"), script, &[GUEST_RUNS]);
    // For the shell, which the terminal belongs to.
    terminal.send(b"hello\n");
    let finished = terminal.assert_restored("a background job");
    assert!(finished.stdout.contains("key hello"), "{finished}");
}
