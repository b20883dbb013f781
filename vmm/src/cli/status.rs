//! `vmm status`.

use clap::Args;

use super::api::{self, ApiArgs};
use super::{Exit, Failure};
use crate::control::status_text;

/// Arguments of `vmm status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    api: ApiArgs,

    /// Print the API's answer instead of the table
    #[arg(long)]
    json: bool,
}

/// Asks and prints.
///
/// # Errors
/// [`Failure`] with exit code 1 or 2.
pub fn run(args: &StatusArgs) -> Result<Exit, Failure> {
    let answer = args.api.connect()?.status()?;
    api::print(args.json, &answer, &status_text::render(&answer))?;
    Ok(Exit::Done)
}
