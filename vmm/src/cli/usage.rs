//! What a command line that is not taken is answered with: help as it is, mistakes in one line.

use clap::error::ErrorKind;

use super::{Exit, Failure};
use crate::report::output;

/// Prints help and version; makes one line of anything else.
///
/// # Errors
/// [`Failure`] for a mistake.
pub fn answer(error: &clap::Error) -> Result<Exit, Failure> {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::print(text.as_bytes()).map_err(Failure::host)?;
            Ok(Exit::Done)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::print_aside(text.as_bytes());
            Ok(Exit::Usage)
        }
        _ => Err(Failure::usage(anyhow::anyhow!("{}", one_line(&text)))),
    }
}

/// clap's message without its usage and hints, which `--help` gives.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    let message = text
        .lines()
        .map(str::trim)
        .take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more"))
        // A tip on passing the mistake as a guest's name helps nobody.
        .filter(|part| !part.is_empty() && !part.contains("' as a value, use '-- "));
    for part in message {
        if !line.is_empty() {
            let goes_on = part.starts_with('[') || line.ends_with(':');
            line.push_str(if goes_on { " " } else { "; " });
        }
        line.push_str(part.trim_start_matches("error: "));
    }
    line
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn mistake(line: &str) -> String {
        let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
        let failure = answer(&error).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        failure.error.to_string()
    }

    #[test]
    fn a_mistake_is_one_line_with_the_cure() {
        assert_eq!(
            mistake("vmm run --kick foo"),
            "invalid value 'foo' for '--kick <KICK>' [possible values: auto, kvm, vmm]"
        );
        assert_eq!(
            mistake("vmm run --vcpu 4"),
            "unexpected argument '--vcpu' found; tip: a similar argument exists: '--vcpus'"
        );
        assert_eq!(
            mistake("vmm pause"),
            "the following required arguments were not provided: --api <SOCKET>"
        );
        assert_eq!(
            mistake("vmm run --fast"),
            "unexpected argument '--fast' found"
        );
        assert_eq!(
            mistake("vmm run --vcpus 0"),
            "invalid value '0' for '--vcpus <N>': at least 1; `vmm doctor` tells the most"
        );
    }
}
