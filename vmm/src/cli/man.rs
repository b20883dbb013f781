//! `vmm man`: manual pages, made from the same declarations that parse the command line. Needs no
//! KVM.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::{Cli, Exit, Failure, PROGRAM};
use crate::report::output::{self, FileTarget};

/// Where a manual's page names its book.
const MANUAL: &str = "vmm manual";
const SECTION: &str = "1";
/// Of the release, so that the same source makes the same pages; CHANGELOG.md has it too.
const DATE: &str = "2026-11-22";

/// What every command may end with.
const EXITS: [(Exit, &str); 5] = [
    (Exit::Done, "Done, and every check held."),
    (
        Exit::CheckFailed,
        "A check failed: a lock broke a promise, the guest hangs, a time limit or Ctrl-C ended it, \
         a file is damaged.",
    ),
    (
        Exit::Usage,
        "Usage: an option, a value or a file does not suit. Nothing has run.",
    ),
    (
        Exit::Host,
        "The host cannot do it; standard error says what is missing.",
    ),
    (Exit::GuestCrashed, "The guest crashed."),
];

/// The commands that run the user's guest in their own process, and what else may end that.
const RUNS_A_GUEST: [&str; 3] = ["run", "restore", "receive"];
const OTHER_ENDS: [&str; 2] = [
    "A test image that writes a value to its debug-exit port makes the exit code itself: \
     (value << 1) | 1, of which 8 bits remain.",
    "A thread that makes a system call which it does not need ends the process by SIGSYS, after one \
     line on standard error: no exit code, but a signal, of which a shell makes 159.",
];

/// Files that a command finds without being told.
const FILES: [(&str, &[&str], &str); 3] = [
    (
        "/dev/kvm",
        &[
            "run",
            "restore",
            "receive",
            "conformance",
            "soak",
            "experiment",
            "doctor",
        ],
        "Who may read and write it may run machines; no other right is needed.",
    ),
    (
        "/dev/shm",
        &["soak"],
        "Snapshots and sockets go into a folder of their own there, which is removed at the end; \
         --dir names another.",
    ),
    (
        "/sys/module/kvm/parameters, /sys/module/kvm_intel/parameters, /sys/module/kvm_amd/parameters",
        &["run", "doctor", "experiment"],
        "Settings of the host's KVM, which reports repeat.",
    ),
];

/// Arguments of `vmm man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for vmm.1 and one page a command; made if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the pages.
///
/// # Errors
/// [`Failure`]: exit code 2 for a folder that cannot be written to.
pub fn run(args: &ManArgs) -> Result<Exit, Failure> {
    fs::create_dir_all(&args.folder).map_err(|error| {
        let folder = args.folder.display().to_string();
        Failure::usage(anyhow::Error::from(error).context(folder))
    })?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let commands: Vec<_> = command.get_subcommands().cloned().collect();
    for command in [command].into_iter().chain(commands) {
        let name = page_name(&command);
        let page = page(command).map_err(Failure::host)?;
        let path = args.folder.join(format!("{name}.{SECTION}"));
        let file = FileTarget::prepare("DIR", &path).map_err(Failure::usage)?;
        file.write(|out| out.write_all(page.as_bytes()))
            .map_err(Failure::host)?;
        output::print(format!("{}\n", path.display()).as_bytes()).map_err(Failure::host)?;
    }
    Ok(Exit::Done)
}

/// `vmm`, `vmm-run`.
fn page_name(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned()
}

fn page(mut command: Command) -> io::Result<String> {
    let name = command.get_name().to_owned();
    let is_program = name == PROGRAM;
    let others: Vec<_> = if is_program {
        command.get_subcommands().map(page_name).collect()
    } else {
        vec![PROGRAM.to_owned()]
    };
    let synopsis = synopsis(&mut command);
    let man = Man::new(command)
        .section(SECTION)
        .date(DATE)
        .source(format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION")))
        .manual(MANUAL);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis.to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if is_program {
        man.render_subcommands_section(&mut page)?;
    }
    exit_status(&name).to_writer(&mut page)?;
    if let Some(files) = files(&name) {
        files.to_writer(&mut page)?;
    }
    see_also(&others).to_writer(&mut page)?;
    let page = String::from_utf8(page).map_err(io::Error::other)?;
    // An empty line is a space in itself; breaks around it are what `mandoc -Tlint` warns of.
    Ok(page.replace(".br\n\n.br\n", ".sp\n"))
}

/// As `--help` has it, which names what options take by one word.
fn synopsis(command: &mut Command) -> Roff {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let name = command.get_bin_name().unwrap_or(PROGRAM);
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    match usage.strip_prefix(name) {
        Some(rest) => roff.text([bold(name), roman(rest)]),
        None => roff.text([roman(usage)]),
    };
    roff
}

fn exit_status(command: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (exit, meaning) in EXITS {
        roff.control("TP", []);
        roff.text([bold(u8::from(exit).to_string())]);
        roff.text([roman(meaning)]);
    }
    if command == PROGRAM || RUNS_A_GUEST.contains(&command) {
        for end in OTHER_ENDS {
            roff.control("PP", []);
            roff.text([roman(end)]);
        }
    }
    roff
}

fn files(command: &str) -> Option<Roff> {
    let known = |commands: &[&str]| command == PROGRAM || commands.contains(&command);
    let mut files = FILES
        .iter()
        .filter(|(_, commands, _)| known(commands))
        .peekable();
    files.peek()?;
    let mut roff = Roff::new();
    roff.control("SH", ["FILES"]);
    for (path, _, meaning) in files {
        roff.control("TP", []);
        roff.text([italic(*path)]);
        roff.text([roman(*meaning)]);
    }
    Some(roff)
}

fn see_also(pages: &[String]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for page in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.push(bold(page));
        line.push(roman(format!("({SECTION})")));
    }
    roff.text(line);
    roff
}
