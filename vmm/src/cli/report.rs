//! `vmm report`: a page about what an experiment has found. Needs no KVM.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure};
use crate::lab::report::{self, Comparison, Folder, Study};
use crate::report::output::{self, FileTarget};

/// Arguments of `vmm report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folders that `vmm experiment -o` has written: shards and parts of one experiment or, with --compare, two of them
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,

    /// Write the page to this file [default: report.html in the first DIR]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Compare two folders, as of two builds or two hosts, combination by combination
    #[arg(long)]
    compare: bool,

    /// Write one line a run to this file, and one line a combination to FILE-cells.csv beside it [default: beside the page]
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// Reads the folders and writes page and tables.
///
/// # Errors
/// [`Failure`]: exit code 2 for folders that no report can be made of.
pub fn run(args: &ReportArgs) -> Result<Exit, Failure> {
    let page_path = |name| {
        args.output
            .clone()
            .unwrap_or_else(|| beside(&args.folders, name))
    };
    let csv_path = |page: &Path| {
        args.csv
            .clone()
            .unwrap_or_else(|| page.with_extension("csv"))
    };
    let (mut told, texts) = if args.compare {
        let comparison = comparison(&args.folders)?;
        let page = page_path("compare.html");
        let csv = csv_path(&page);
        let text = report::comparison_page(&comparison).map_err(Failure::host)?;
        let texts = vec![
            ("--output", page, text),
            ("--csv", csv, report::compared(&comparison)),
        ];
        (report::comparison_summary(&comparison), texts)
    } else {
        let study = study(&args.folders)?;
        let page = page_path("report.html");
        let csv = csv_path(&page);
        let cells = with_suffix(&csv, "-cells");
        let text = report::page(&study).map_err(Failure::host)?;
        let texts = vec![
            ("--output", page, text),
            ("--csv", csv, report::runs(&study)),
            ("--csv", cells, report::cells(&study)),
        ];
        (report::summary(&study), texts)
    };
    for path in write_all(texts)? {
        told += &format!("{}\n", path.display());
    }
    output::print(told.as_bytes()).map_err(Failure::host)?;
    Ok(Exit::Done)
}

fn comparison(folders: &[PathBuf]) -> Result<Comparison, Failure> {
    let [a, b] = folders else {
        return Err(Failure::usage(anyhow::anyhow!(
            "--compare takes two folders, not {}",
            folders.len()
        )));
    };
    report::compare(read(a)?, read(b)?).map_err(Failure::usage)
}

fn study(folders: &[PathBuf]) -> Result<Study, Failure> {
    let read: Vec<_> = folders
        .iter()
        .map(|path| read(path))
        .collect::<Result<_, _>>()?;
    report::join(read).map_err(Failure::usage)
}

/// Reads one folder and says what it leaves out.
fn read(path: &Path) -> Result<Folder, Failure> {
    let folder = report::read(path, &super::experiment::names()).map_err(Failure::usage)?;
    for torn in &folder.torn {
        let line = format!(
            "vmm: {}: the last line was cut off and is left out; `vmm experiment` makes its run again\n",
            torn.display()
        );
        output::print_aside(line.as_bytes());
    }
    Ok(folder)
}

fn beside(folders: &[PathBuf], name: &str) -> PathBuf {
    folders
        .first()
        .map_or_else(|| name.into(), |folder| folder.join(name))
}

/// `runs.csv` as `runs-cells.csv`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(suffix);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Writes all files or, where one cannot be written, none that could be foreseen.
fn write_all(
    texts: impl IntoIterator<Item = (&'static str, PathBuf, String)>,
) -> Result<Vec<PathBuf>, Failure> {
    let prepare = |(option, path, text): (&'static str, PathBuf, String)| {
        FileTarget::prepare(option, &path).map(|file| (file, text))
    };
    let files: Vec<_> = texts
        .into_iter()
        .map(prepare)
        .collect::<Result<_, _>>()
        .map_err(Failure::usage)?;
    for (at, (file, _)) in files.iter().enumerate() {
        for (other, _) in files.iter().take(at) {
            file.check_differs_from(other).map_err(Failure::usage)?;
        }
    }
    let mut written = Vec::new();
    for (file, text) in files {
        written.push(file.path().to_owned());
        file.write(|out| out.write_all(text.as_bytes()))
            .map_err(Failure::host)?;
    }
    Ok(written)
}
