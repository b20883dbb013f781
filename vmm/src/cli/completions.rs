//! `vmm completions`: what a shell has to know to complete a command line. Needs no KVM.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Generator, shells};

use super::{Cli, Exit, Failure, PROGRAM};
use crate::report::output;

/// Arguments of `vmm completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Shells that are served.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the shell's script.
///
/// # Errors
/// [`Failure`] with exit code 3.
pub fn run(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut command = Cli::command();
    // Subcommands have their names and common options only once it is built.
    command.set_bin_name(PROGRAM);
    command.build();
    let mut script = Vec::new();
    match args.shell {
        Shell::Bash => shells::Bash.try_generate(&command, &mut script),
        Shell::Zsh => shells::Zsh.try_generate(&command, &mut script),
        Shell::Fish => shells::Fish.try_generate(&command, &mut script),
    }
    .map_err(Failure::host)?;
    output::print(&script).map_err(Failure::host)?;
    Ok(Exit::Done)
}
