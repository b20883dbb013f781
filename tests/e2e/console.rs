//! A guest's console: standard input from a pipe, a file and a terminal, and the ends of a machine
//! that its devices tell.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vmm_tests::command::{Finished, Folder, Vmm, binary, wait};
use vmm_tests::guest_code;
use vmm_tests::multiboot;

/// Sends back what it gets, until that is a `q`: then it writes 0x10 to the debug-exit port.
fn echo() -> Vec<u8> {
    multiboot::flat(guest_code!(
        ".code32",
        "mov dx, 0x3f8; mov al, 0x3e; out dx, al",
        "2: mov dx, 0x3fd; in al, dx; test al, 1; jz 2b",
        "mov dx, 0x3f8; in al, dx",
        "cmp al, 0x71; je 3f",
        "out dx, al; jmp 2b",
        "3: mov al, 0x10; out 0xf4, al; 4: hlt; jmp 4b",
    ))
}

/// The exit code that 0x10 makes.
const ECHO_DONE: i32 = 0x21;

/// The same, but it sleeps until the serial port interrupts it: line 4 of the PIC, vector 0x24.
fn echo_by_interrupt() -> Vec<u8> {
    multiboot::flat(guest_code!(
        ".code32",
        "mov esp, 0x108000",
        // GDT and IDT in the room behind the code: a flat code segment at selector 8, and a gate to
        // the handler.
        "mov dword ptr [0x109008], 0x0000ffff; mov dword ptr [0x10900c], 0x00cf9b00",
        "mov word ptr [0x109800], 15; mov dword ptr [0x109802], 0x109000",
        "lgdt [0x109800]",
        // EAX: the handler's address, by `add eax, imm32`.
        "call 7f; 7: pop eax; .byte 0x05; .long 8f - 7b",
        "mov ebx, eax; and ebx, 0xffff; or ebx, 0x80000; mov [0x10a120], ebx",
        "and eax, 0xffff0000; or eax, 0x8e00; mov [0x10a124], eax",
        "mov word ptr [0x109808], 0x7ff; mov dword ptr [0x10980a], 0x10a000",
        "lidt [0x109808]",
        // PIC: vectors from 0x20, nothing but line 4.
        "mov al, 0x11; out 0x20, al; mov al, 0x20; out 0x21, al",
        "mov al, 4; out 0x21, al; mov al, 1; out 0x21, al; mov al, 0xef; out 0x21, al",
        // The receiver's interrupt, and the modem lines as drivers set them.
        "mov dx, 0x3fc; mov al, 0x0b; out dx, al; mov dx, 0x3f9; mov al, 1; out dx, al",
        "mov dx, 0x3f8; mov al, 0x3e; out dx, al",
        "9: sti; hlt; jmp 9b",
        "8: mov dx, 0x3fa; in al, dx",
        "2: mov dx, 0x3fd; in al, dx; test al, 1; jz 4f",
        "mov dx, 0x3f8; in al, dx; cmp al, 0x71; je 3f",
        "out dx, al; jmp 2b",
        "4: mov al, 0x20; out 0x20, al; add esp, 12; jmp 9b",
        "3: mov al, 0x10; out 0xf4, al; 3: hlt; jmp 3b",
    ))
}

fn spawn(guest: &Path, input: Stdio) -> Child {
    Command::new(binary())
        .args(["run", "--vcpus", "1", "--timeout", "60"])
        .arg(guest)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) -> Finished {
    wait(child, "vmm run, an echo".to_owned())
}

/// The guest sent this and no more.
fn assert_sent(finished: &Finished, sent: &str) {
    let echoed = finished.stdout.strip_prefix('>');
    let (echoed, _) = echoed.unwrap().split_once("ENDED by the guest").unwrap();
    assert!(echoed == sent, "{finished}");
    assert_eq!(finished.code, ECHO_DONE, "{finished}");
}

/// Longer than any FIFO, with what would be keys of ours on a terminal.
fn text() -> String {
    "\x01x 0123456789 the guest reads every byte\r\n".repeat(40)
}

#[test]
fn a_guest_reads_a_pipe_byte_by_byte() {
    let folder = Folder::new("console-pipe");
    for guest in [echo(), echo_by_interrupt()] {
        let mut child = spawn(&folder.file("guest", &guest), Stdio::piped());
        let mut input = child.stdin.take().unwrap();
        input.write_all(text().as_bytes()).unwrap();
        input.write_all(b"q").unwrap();
        drop(input);
        assert_sent(&finish(child), &text());
    }
}

#[test]
fn a_guest_reads_a_file() {
    let folder = Folder::new("console-file");
    let guest = folder.file("guest", &echo_by_interrupt());
    let input = folder.file("input", format!("{}q", text()).as_bytes());
    let child = spawn(&guest, File::open(input).unwrap().into());
    assert_sent(&finish(child), &text());
}

/// With its interrupt: the line is connected anew, and the controllers are as they were.
#[test]
fn a_restored_guest_goes_on_reading() {
    let folder = Folder::new("console-restore");
    let guest = folder.file("guest", &echo_by_interrupt());
    let [api, snapshot] = ["api", "machine.vmm"].map(|name| folder.path(name));
    let mut child = Command::new(binary())
        .args(["run", "--vcpus", "1", "--timeout", "60", "--api"])
        .args([&api, &guest])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"abc").unwrap();
    read_until(&mut child, &[b">abc"]);
    let saved = Vmm::new("snapshot --stop --api")
        .arg(&api)
        .arg(&snapshot)
        .finish();
    assert_eq!(saved.code, 0, "{saved}");
    assert_eq!(finish(child).code, 0);
    let mut child = Command::new(binary())
        .args(["restore", "--timeout", "60"])
        .arg(&snapshot)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"defq").unwrap();
    let finished = finish(child);
    assert!(finished.stdout.starts_with("defENDED"), "{finished}");
    assert_eq!(finished.code, ECHO_DONE, "{finished}");
}

#[test]
fn the_end_of_the_input_is_not_the_end_of_the_guest() {
    let folder = Folder::new("console-end");
    let guest = folder.file("guest", &echo());
    let run = Vmm::run("--vcpus 1 --timeout 1 --serial stdio").arg(guest);
    let finished = run.finish();
    assert!(
        finished.stdout.contains("STOPPED by --timeout"),
        "{finished}"
    );
}

#[test]
fn a_guest_with_its_serial_port_elsewhere_reads_nothing() {
    let folder = Folder::new("console-elsewhere");
    let guest = folder.file("guest", &echo());
    let input = folder.file("input", b"abcq");
    let mut input = File::open(input).unwrap();
    let child = Command::new(binary())
        .args(["run", "--timeout", "1", "--serial", "null"])
        .arg(guest)
        .stdin(input.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(finish(child).code, 1);
    // Both share one offset.
    let mut rest = String::new();
    input.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "abcq");
}

#[test]
fn the_debug_exit_port_makes_the_exit_code_and_stands_in_the_report() {
    let folder = Folder::new("debug-exit");
    for (code, value, exit) in [
        (
            guest_code!(".code32", "mov al, 0; out 0xf4, al; 2: jmp 2b"),
            0,
            1,
        ),
        (
            guest_code!(".code32", "mov eax, 0x1234; out 0xf4, eax; 2: jmp 2b"),
            0x1234,
            0x69,
        ),
    ] {
        let guest = folder.file("guest", &multiboot::flat(code));
        let run = Vmm::run("--vcpus 1 --timeout 30").arg(guest).report();
        run.ended("completed", exit);
        assert_eq!(run.count("/debug_exit"), value);
        assert_eq!(run.text("/ended_by"), "guest");
    }
}

#[test]
fn a_guest_switches_itself_off_restarts_and_panics() {
    let folder = Folder::new("ends");
    for (name, code, outcome, exit) in [
        (
            "off",
            guest_code!(
                ".code32",
                "mov dx, 0x604; mov ax, 0x3400; out dx, ax; 2: jmp 2b"
            ),
            "completed",
            0,
        ),
        (
            "reset",
            guest_code!(".code32", "mov dx, 0xcf9; mov al, 6; out dx, al; 2: jmp 2b"),
            "completed",
            0,
        ),
        (
            "panic",
            guest_code!(".code32", "mov dx, 0x505; mov al, 1; out dx, al; 2: jmp 2b"),
            "crashed",
            4,
        ),
    ] {
        let guest = folder.file(name, &multiboot::flat(code));
        let run = Vmm::run("--vcpus 1 --timeout 30").arg(guest).report();
        run.ended(outcome, exit);
    }
}

#[test]
fn a_reset_behind_a_kernel_panic_is_a_crash() {
    let folder = Folder::new("panic-line");
    let code = guest_code!(
        ".code32",
        // ESI: the text, by `add esi, imm32`; ECX: its length, by `mov ecx, imm32`.
        "mov esp, 0x108000",
        "call 2f; 2: pop esi; .byte 0x81, 0xc6; .long 3f - 2b; .byte 0xb9; .long 4f - 3f",
        "cld; mov dx, 0x3f8; rep outsb",
        "mov al, 0xfe; out 0x64, al; 5: hlt; jmp 5b",
        "3: .ascii \"[    1.5] Kernel panic - not syncing: no root\\n\"",
        "4:",
    );
    let guest = folder.file("guest", &multiboot::flat(code));
    let run = Vmm::run("--vcpus 1 --timeout 30").arg(guest).report();
    run.ended("crashed", 4);
    assert_eq!(run.text("/crash/reason/kind"), "guest_panic");
}

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
        let args = [&format!("-{name}"), pid.trim()];
        let kill = Command::new("kill").args(args).status();
        assert!(kill.unwrap().success());
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

/// Reads what the terminal shows until all of `signs` are in it.
fn read_until(child: &mut Child, signs: &[&[u8]]) -> Vec<u8> {
    let output = child.stdout.as_mut().unwrap();
    let mut shown = Vec::new();
    let mut byte = [0];
    let is_shown = |shown: &[u8], sign: &[u8]| shown.windows(sign.len()).any(|part| part == sign);
    while !signs.iter().all(|sign| is_shown(&shown, sign)) {
        output.read_exact(&mut byte).unwrap();
        shown.push(byte[0]);
    }
    shown
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
