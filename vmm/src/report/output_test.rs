use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vmm-output-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<OsString> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refusal(path: &Path) -> String {
    Target::prepare(path).unwrap_err().to_string()
}

#[test]
fn a_missing_folder_is_refused_before_the_run() {
    let folder = Folder::new();
    let path = folder.0.join("missing/report.json");
    let line = format!(
        "--json {}: no such folder; make it first",
        folder.0.join("missing").display()
    );
    assert_eq!(refusal(&path), line);
    assert_eq!(folder.names(), Vec::<OsString>::new());
}

#[test]
fn a_folder_is_no_file() {
    let folder = Folder::new();
    assert!(refusal(&folder.0).contains("is no file"));
    assert!(refusal(Path::new("/")).contains("is no file"));
    assert!(refusal(&folder.0.join("a/..")).contains("is no file"));
}

#[test]
fn a_file_below_a_file_is_refused() {
    let folder = Folder::new();
    fs::write(folder.0.join("file"), "").unwrap();
    assert!(refusal(&folder.0.join("file/report.json")).contains("no such folder"));
}

#[test]
fn preparing_leaves_nothing_and_writing_leaves_one_file() {
    let folder = Folder::new();
    let path = folder.0.join("report.json");
    let target = Target::prepare(&path).unwrap();
    assert_eq!(folder.names(), Vec::<OsString>::new());
    target.write(&[1, 2]).unwrap();
    assert_eq!(folder.names(), ["report.json"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1,\n  2\n]\n");
}

#[test]
fn an_old_report_stays_until_the_new_one_is_whole() {
    let folder = Folder::new();
    let path = folder.0.join("report.json");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let target = Target::prepare(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    let mut reader = File::open(&path).unwrap();
    target.write(&"new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "\"new\"\n");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut old = String::new();
    reader.read_to_string(&mut old).unwrap();
    assert_eq!(old, "old");
}

#[test]
fn a_link_keeps_pointing() {
    let folder = Folder::new();
    let (file, link) = (folder.0.join("file"), folder.0.join("link"));
    fs::write(&file, "old").unwrap();
    symlink(&file, &link).unwrap();
    Target::prepare(&link).unwrap().write(&1).unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), "1\n");
}

/// A named pipe in a folder of its own stands for `/dev/null` and its like: a test that fails must
/// not have replaced a device of the machine.
#[test]
fn what_is_no_regular_file_is_written_and_not_replaced() {
    let folder = Folder::new();
    let path = folder.0.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    // Open for both, so that neither end waits for the other.
    let mut options = OpenOptions::new();
    let mut reader = options.read(true).write(true).open(&path).unwrap();
    Target::prepare(&path).unwrap().write(&12).unwrap();
    let still = fs::symlink_metadata(&path).unwrap().file_type();
    assert!(still.is_fifo());
    let mut read = [0; 3];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"12\n");
    assert_eq!(folder.names(), ["pipe"]);
}

#[test]
fn a_pipe_without_its_reader_ends_quietly() {
    let (reader, writer) = io::pipe().unwrap();
    let path = format!("/dev/fd/{}", writer.as_raw_fd());
    let target = Target::prepare(Path::new(&path)).unwrap();
    drop(reader);
    target.write(&1).unwrap();
}

#[test]
fn a_folder_that_went_away_is_an_error_that_names_the_file() {
    let folder = Folder::new();
    let inner = folder.0.join("inner");
    fs::create_dir(&inner).unwrap();
    let target = Target::prepare(&inner.join("report.json")).unwrap();
    fs::remove_dir(&inner).unwrap();
    assert!(
        target
            .write(&1)
            .unwrap_err()
            .to_string()
            .contains("report.json")
    );
}

#[test]
fn two_options_cannot_name_one_file() {
    let folder = Folder::new();
    let one = folder.0.join("out");
    let other = folder.0.join(".").join("out");
    let json = FileTarget::prepare("--json", &one).unwrap();
    let trace = FileTarget::prepare("--trace", &other).unwrap();
    let error = trace.check_differs_from(&json).unwrap_err().to_string();
    assert!(
        error.starts_with("--json and --trace both name "),
        "{error}"
    );
    let third = FileTarget::prepare("--trace", &folder.0.join("trace")).unwrap();
    assert!(third.check_differs_from(&json).is_ok());
    let device = || FileTarget::prepare("--trace", Path::new("/dev/null")).unwrap();
    assert!(device().check_differs_from(&device()).is_ok());
}

#[test]
fn of_two_failures_both_are_told() {
    let failure = |text: &str| Err(OutputError::Stdout(io::Error::other(text.to_owned())));
    let told = all([failure("one"), Ok(()), failure("two")]).unwrap_err();
    let told = told.to_string();
    assert!(told.contains("one") && told.contains("two"), "{told}");
    assert!(all([Ok(()), Ok(())]).is_ok());
}
