//! `vmm pause`.

use clap::Args;

use super::api::ApiArgs;
use super::{Exit, Failure};

/// Arguments of `vmm pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    api: ApiArgs,
}

/// Pauses all vCPUs.
///
/// # Errors
/// [`Failure`] with exit code 1 or 2.
pub fn run(args: &PauseArgs) -> Result<Exit, Failure> {
    args.api.connect()?.pause()?;
    Ok(Exit::Done)
}
