//! `vmm resume`.

use clap::Args;

use super::api::ApiArgs;
use super::{Exit, Failure};

/// Arguments of `vmm resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    api: ApiArgs,
}

/// Lets paused vCPUs go on.
///
/// # Errors
/// [`Failure`] with exit code 1 or 2.
pub fn run(args: &ResumeArgs) -> Result<Exit, Failure> {
    args.api.connect()?.resume()?;
    Ok(Exit::Done)
}
