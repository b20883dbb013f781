//! `vmm snapshot`.

use std::path::PathBuf;

use clap::Args;

use super::api::{self, ApiArgs};
use super::{Exit, Failure};
use crate::control::status_text;
use crate::control::{SnapshotRequest, Then};

/// Arguments of `vmm snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// The file to save to; an older one of that name stays until the new one is whole
    file: PathBuf,

    #[command(flatten)]
    api: ApiArgs,

    /// End the machine afterwards
    #[arg(long, conflicts_with = "stay_paused")]
    stop: bool,

    /// Leave the machine paused afterwards
    #[arg(long)]
    stay_paused: bool,

    /// Print the API's answer instead of a sentence
    #[arg(long)]
    json: bool,
}

/// Has the machine saved and says what it took.
///
/// # Errors
/// [`Failure`] with exit code 1 or 2.
pub fn run(args: &SnapshotArgs) -> Result<Exit, Failure> {
    let request = SnapshotRequest {
        file: api::absolute(&args.file)?,
        then: match (args.stop, args.stay_paused) {
            (true, _) => Then::Stop,
            (_, true) => Then::StayPaused,
            _ => Then::Resume,
        },
    };
    let mut client = args.api.connect()?;
    let done = args.api.follow(|| client.snapshot(&request))?;
    api::print(args.json, &done, &status_text::saved(&done))?;
    Ok(Exit::Done)
}
