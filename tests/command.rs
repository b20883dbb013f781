//! `vmm` as a user starts it.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use std::{env, fs, process};

use serde_json::Value;

/// No run of a test may take longer unless it says so; then the test has failed.
const LIMIT: Duration = Duration::from_secs(100);

/// The binary that cargo built for the tests of the package `vmm`.
pub fn binary() -> PathBuf {
    let test = env::current_exe().expect("the test has a path");
    let profile = test.parent().and_then(Path::parent).unwrap();
    let binary = profile.join("vmm");
    assert!(
        binary.is_file(),
        "{} is missing: test the package vmm or the whole workspace",
        binary.display()
    );
    binary
}

/// A command line of `vmm`.
#[derive(Clone, Debug)]
pub struct Vmm {
    args: Vec<OsString>,
    /// What a shell does first.
    prelude: Option<String>,
    limit: Duration,
}

impl Vmm {
    /// `vmm` with the words of `line`.
    pub fn new(line: &str) -> Self {
        let args = line.split_whitespace().map(OsString::from).collect();
        Self {
            args,
            prelude: None,
            limit: LIMIT,
        }
    }

    /// `vmm run` with the words of `line`.
    pub fn run(line: &str) -> Self {
        Self::new("run").words(line)
    }

    /// More words.
    #[must_use]
    pub fn words(mut self, line: &str) -> Self {
        self.args
            .extend(line.split_whitespace().map(OsString::from));
        self
    }

    /// One more argument, taken whole.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// It gets no more than `mib` MiB of address space, the guest's memory included.
    #[must_use]
    pub fn within_mib(self, mib: u64) -> Self {
        let kib = mib << 10;
        self.after(&format!("ulimit -v {kib}"))
    }

    /// A shell does `prelude` before it becomes `vmm`; there `"$0" "$@"` is the command.
    #[must_use]
    pub fn after(mut self, prelude: &str) -> Self {
        self.prelude = Some(prelude.to_owned());
        self
    }

    /// It may take so long, rather than the usual `LIMIT`.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn command(&self) -> Command {
        let mut command = match &self.prelude {
            None => Command::new(binary()),
            Some(prelude) => {
                let mut shell = Command::new("sh");
                let script = format!("{prelude} && exec \"$0\" \"$@\"");
                shell.args(["-c", &script]).arg(binary());
                shell
            }
        };
        command.args(&self.args).stdin(Stdio::null());
        command
    }

    /// Starts it with all output captured.
    pub fn spawn(&self) -> Child {
        self.command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("vmm starts")
    }

    /// Runs it to its end.
    pub fn finish(&self) -> Finished {
        wait_for(self.spawn(), self.line(), self.limit)
    }

    /// Runs it with `--json -` in front and takes the report apart.
    pub fn report(&self) -> Report {
        let mut with_json = self.clone();
        with_json.args.splice(1..1, ["--json".into(), "-".into()]);
        let finished = with_json.finish();
        let json = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| {
            panic!("{}: {error} in\n{finished}", self.line());
        });
        Report { finished, json }
    }

    /// The command line, for messages.
    pub fn line(&self) -> String {
        let words: Vec<_> = self
            .args
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        format!("vmm {}", words.join(" "))
    }
}

/// Waits for `child`, but not for ever.
///
/// # Panics
/// When it does not end in time, or not by itself.
pub fn wait(child: Child, line: String) -> Finished {
    wait_for(child, line, LIMIT)
}

fn wait_for(child: Child, line: String, limit: Duration) -> Finished {
    let id = child.id();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if is_done.recv_timeout(limit).is_err() {
            signal("KILL", id);
        }
    });
    let output = child.wait_with_output().expect("vmm can be waited for");
    let _ = done.send(());
    guard.join().unwrap();
    Finished::new(output, line)
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code.
    pub code: i32,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
    line: String,
}

impl Finished {
    fn new(output: Output, line: String) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let code = output.status.code().unwrap_or_else(|| {
            panic!("`{line}` was ended by {}:\n{stdout}{stderr}", output.status)
        });
        assert!(
            !stderr.contains("panicked at"),
            "`{line}` panicked:\n{stderr}"
        );
        Self {
            code,
            stdout,
            stderr,
            line,
        }
    }

    /// The text of standard error, which has to be one line.
    ///
    /// # Panics
    /// When it is not.
    pub fn one_line(&self) -> &str {
        let line = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert!(
            !line.is_empty() && !line.contains('\n'),
            "not one line: {self}"
        );
        line
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            code,
            stdout,
            stderr,
            line,
        } = self;
        write!(
            f,
            "`{line}` exited with {code}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// A run with its report.
#[derive(Clone, Debug)]
pub struct Report {
    /// The run.
    pub finished: Finished,
    /// The report.
    pub json: Value,
}

impl Report {
    /// The value at a JSON pointer, which has to be there.
    ///
    /// # Panics
    /// When it is not.
    pub fn at(&self, pointer: &str) -> &Value {
        self.json
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {}", self.finished))
    }

    /// The count at a JSON pointer.
    ///
    /// # Panics
    /// When it is not there or no count.
    pub fn count(&self, pointer: &str) -> u64 {
        self.at(pointer)
            .as_u64()
            .unwrap_or_else(|| panic!("{pointer} is no count in {}", self.finished))
    }

    /// The text at a JSON pointer.
    ///
    /// # Panics
    /// When it is not there or no text.
    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer)
            .as_str()
            .unwrap_or_else(|| panic!("{pointer} is no text in {}", self.finished))
    }

    /// The elements at a JSON pointer.
    ///
    /// # Panics
    /// When it is not there or no array.
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer)
            .as_array()
            .unwrap_or_else(|| panic!("{pointer} is no list in {}", self.finished))
    }

    /// The sum of `field` over all vCPUs.
    ///
    /// # Panics
    /// When a vCPU does not have it.
    pub fn sum(&self, field: &str) -> u64 {
        self.list("/vcpus")
            .iter()
            .map(|vcpu| vcpu[field].as_u64().expect("a count"))
            .sum()
    }

    /// Outcome and exit code are these.
    ///
    /// # Panics
    /// When they are not.
    pub fn ended(&self, outcome: &str, code: i32) -> &Self {
        assert_eq!(
            (self.text("/outcome"), self.finished.code),
            (outcome, code),
            "{}",
            self.finished
        );
        self
    }
}

/// Sends a process a signal, as in `TERM`, and says whether there was one to send it to. By the shell,
/// which has that inside: not every machine has the program.
pub fn signal(name: &str, process: u32) -> bool {
    let kill = format!("kill -s {name} {process}");
    let status = Command::new("sh").args(["-c", &kill]).status();
    status.is_ok_and(|status| status.success())
}

/// Says why something is not tested here, where a person looks, and never silently.
pub fn skip(what: &str, why: &str) {
    // Past the test harness, which shows what `println!` prints for failed tests only.
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {why}");
}

/// A folder of one test, gone with its value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder; `name` is unique among the tests.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("vmm-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file into it.
    ///
    /// # Panics
    /// When that fails.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a temporary file");
        path
    }

    /// Names and contents of all files in it, sorted.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn content(&self) -> Vec<(OsString, Vec<u8>)> {
        let mut content: Vec<_> = fs::read_dir(&self.0)
            .expect("the folder")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| {
                (
                    entry.file_name(),
                    fs::read(entry.path()).unwrap_or_default(),
                )
            })
            .collect();
        content.sort();
        content
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
