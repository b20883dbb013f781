//! `vmm inspect`: what is in a snapshot. Needs no KVM.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure};
use crate::inspect::SnapshotView;
use crate::report::output;
use crate::report::progress::Progress;
use crate::report::units;
use crate::snapshot::{CheckedSnapshot, Error, Fault, HeaderFault, TableFault};

/// Arguments of `vmm inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The snapshot
    file: PathBuf,

    /// Read guest memory too and check every byte of it
    #[arg(long)]
    verify: bool,

    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

/// A file that is damaged has failed a check; one that is no snapshot, or none for this vmm, was
/// the wrong file to name.
fn unreadable(error: Error) -> Failure {
    let exit = match error.fault() {
        Fault::Open(_)
        | Fault::NotRegular
        | Fault::Header(
            HeaderFault::Short(_) | HeaderFault::NotASnapshot | HeaderFault::Version { .. },
        )
        | Fault::Table(TableFault::Unknown { .. } | TableFault::Newer { .. }) => Exit::Usage,
        _ => Exit::CheckFailed,
    };
    Failure {
        exit,
        error: error.into(),
    }
}

/// Looks at the snapshot and tells what is in it.
///
/// # Errors
/// [`Failure`]: exit code 1 for damage, 2 for a file that is no snapshot.
pub fn run(args: &InspectArgs) -> Result<Exit, Failure> {
    let snapshot = CheckedSnapshot::open(&args.file).map_err(unreadable)?;
    let mut view = SnapshotView::of(&snapshot);
    if args.verify {
        let mut progress = Progress::start(None);
        let read = snapshot.verify_memory(&mut |done| {
            let (bytes, total) = (units::data(done.bytes), units::data(done.total_bytes));
            progress.show(format!("verify: {bytes} of {total}"));
        });
        progress.finish();
        view.memory_was_read(read);
    }
    let text = if args.json {
        view.json().map_err(Failure::host)?
    } else {
        view.table()
    };
    output::print(text.as_bytes()).map_err(Failure::host)?;
    let Some(first) = view.faults.first() else {
        return Ok(Exit::Done);
    };
    let more = match view.faults.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more; --json lists them)"),
    };
    Err(Failure {
        exit: Exit::CheckFailed,
        error: anyhow::anyhow!("{first}{more}"),
    })
}
