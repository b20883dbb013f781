//! `vmm payload`: the bundled guest as a file, for other VMMs. Needs no KVM.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure};
use crate::report::output::{self, FileTarget};

/// Arguments of `vmm payload`.
#[derive(Debug, Args)]
pub struct PayloadArgs {
    /// Write the payload, a 64-bit PVH ELF, to this file; `-` is standard output
    #[arg(short, long, value_name = "FILE|-")]
    output: PathBuf,
}

/// Writes the payload that this program carries.
///
/// # Errors
/// [`Failure`]: exit code 2 for a file that cannot be written.
pub fn run(args: &PayloadArgs) -> Result<Exit, Failure> {
    if args.output == Path::new("-") {
        if io::stdout().is_terminal() {
            return Err(Failure::usage(anyhow::anyhow!(
                "--output -: standard output is a terminal, and the payload is no text; name a file"
            )));
        }
        output::print(guest_payload::IMAGE).map_err(Failure::host)?;
        return Ok(Exit::Done);
    }
    let file = FileTarget::prepare("--output", &args.output).map_err(Failure::usage)?;
    let told = format!("{}\n", file.path().display());
    file.write(|out| out.write_all(guest_payload::IMAGE))
        .map_err(Failure::host)?;
    output::print(told.as_bytes()).map_err(Failure::host)?;
    Ok(Exit::Done)
}
