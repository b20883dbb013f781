//! Machines that are saved, looked at and restored, as a user does it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod goes_on;
mod refused;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use vmm_tests::command::{Finished, Folder, Vmm, skip, wait};

/// A machine that does not answer by then never will.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Long enough that nobody comes late to pause it.
const PAYLOAD: &str = "seconds=4 threshold=1 hold=100 think=0 window=1000 io=4 clocks=on";

/// A `vmm` with an API socket.
struct Running {
    child: Child,
    socket: PathBuf,
    line: String,
}

impl Running {
    /// Starts it and waits until it answers.
    fn start(vmm: &Vmm, socket: PathBuf) -> Self {
        let vmm = vmm.clone();
        let line = vmm.line();
        let child = vmm.spawn();
        Self::answering(child, socket, line)
    }

    fn answering(child: Child, socket: PathBuf, line: String) -> Self {
        let running = Self {
            child,
            socket,
            line,
        };
        let start = Instant::now();
        while running.ask("status").code != 0 {
            assert!(
                start.elapsed() < GIVE_UP_AFTER,
                "{} is silent",
                running.line
            );
            thread::sleep(Duration::from_millis(5));
        }
        running
    }

    /// The payload on 3 vCPUs, stopped once it takes locks.
    fn paused(folder: &Folder, halt: &str, ring: u32) -> Self {
        let socket = folder.path(&format!("{halt}{ring}.sock"));
        let vmm = Vmm::new("run --vcpus 3 --memory 16M --kick vmm --halt")
            .words(halt)
            .words("--api")
            .arg(&socket)
            .words(&format!("-- ring={ring} {PAYLOAD}"));
        let running = Self::start(&vmm, socket);
        while running.status()["payload"]["acquisitions"] == 0 {}
        running.ok("pause");
        running
    }

    fn command(&self, words: &str) -> Vmm {
        Vmm::new(words).words("--api").arg(&self.socket)
    }

    fn ask(&self, words: &str) -> Finished {
        self.command(words).finish()
    }

    fn ok(&self, words: &str) {
        let done = self.ask(words);
        assert_eq!(done.code, 0, "{done}");
    }

    fn status(&self) -> Value {
        let done = self.ask("status --json");
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done}"))
    }

    fn snapshot(&self, file: &Path) -> Finished {
        self.command("snapshot").arg(file).finish()
    }

    /// Runs it to its end, where every check has held.
    fn passes(self) {
        let done = wait(self.child, self.line);
        assert_eq!(done.code, 0, "{done}");
        assert!(done.stdout.contains("PASSED: every check held"), "{done}");
    }
}

fn inspect(file: &Path) -> Value {
    let done = Vmm::new("inspect --json --verify").arg(file).finish();
    assert_eq!(done.code, 0, "{done}");
    serde_json::from_str(&done.stdout).unwrap()
}

fn restore(file: &Path) -> Vmm {
    Vmm::new("restore").arg(file)
}

fn assert_passes(done: &Finished) {
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("PASSED: every check held"), "{done}");
}

/// A machine whose guest halts with interrupts off next, and was kicked already.
const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/golden/machine-v1.snap"
);

/// Whether the golden machine's host was like this one.
fn golden_fits() -> bool {
    let done = restore(Path::new(GOLDEN)).words("--force").finish();
    if done.code == 3 {
        skip("the golden machine", done.stderr.trim());
    }
    done.code != 3
}
