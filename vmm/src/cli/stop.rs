//! `vmm stop`.

use clap::Args;

use super::api::ApiArgs;
use super::{Exit, Failure};

/// Arguments of `vmm stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    #[command(flatten)]
    api: ApiArgs,
}

/// Ends the machine.
///
/// # Errors
/// [`Failure`] with exit code 1 or 2.
pub fn run(args: &StopArgs) -> Result<Exit, Failure> {
    args.api.connect()?.stop()?;
    Ok(Exit::Done)
}
