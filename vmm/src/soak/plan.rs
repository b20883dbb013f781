//! What is soaked, and for how long.

use std::path::PathBuf;
use std::thread;

use guest_payload::args::{Args, Mode as PayloadMode};
use serde::{Deserialize, Serialize};

use crate::memory::MemorySize;
use crate::spec::{Choice, Interface};
use crate::vcpu::state::HiddenKicks;

/// What is done with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It moves into the next process by a file.
    Snapshot,
    /// It moves into the next process live.
    Migrate,
    /// It is saved and stays where it is.
    Stay,
}

/// When it ends, if nothing fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All cycles are done.
    AllCycles,
    /// So too, or a kick is lost.
    FirstLoss,
}

/// One soak.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is done with the machine.
    pub mode: Mode,
    /// How often.
    pub cycles: u64,
    /// When it ends.
    pub until: Until,
    /// Of the random choices: when the machine is stopped, and in which way.
    pub seed: u64,
    /// vCPUs of the machine.
    pub vcpus: u32,
    /// Its memory.
    pub memory: MemorySize,
    /// Who takes the kicks.
    pub kick: Choice,
    /// Where halted vCPUs wait.
    pub halt: Choice,
    /// Whether the guest finds Xen's interface, and its locks use it.
    pub interface: Interface,
    /// What becomes of kicks that no MP_STATE shows.
    pub hidden_kicks: HiddenKicks,
    /// The payload's command line, as [`guest_words`] makes it.
    pub guest: String,
    /// Where files and sockets go, in a folder of their own.
    pub folder: PathBuf,
}

/// Words for the guest that do not suit a soak.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WordsError {
    /// The payload does not know it.
    #[error("guest argument `{word}`: expected {expected}")]
    Bad {
        /// The word.
        word: String,
        /// What could stand there.
        expected: String,
    },
    /// The soak needs it otherwise.
    #[error("guest argument `{word}`: {why}")]
    Unsuitable {
        /// The word.
        word: String,
        /// What the soak needs.
        why: &'static str,
    },
}

/// Waiters spend most of their time between the last look at the lock and the halt, so that a stop
/// at any time finds kicks that no MP_STATE shows. More I/O, which is slow, would leave less of it.
const CONTENDED: &str = "ring=3 threshold=1 hold=100 think=0 io=16";
/// PAUSEs of that window where every vCPU has a pCPU.
const WINDOW: u32 = 100_000;
/// The same where it has not: the kicker has to get a pCPU while the window is open.
const WINDOW_OVERCOMMITTED: u32 = 300_000;
/// The soak ends the guest, and the guest watches its clocks.
const ALWAYS: &str = "mode=stress seconds=86400 settle=0 clocks=on";

/// The payload's command line: a workload full of hidden kicks on `vcpus` CPUs, `words`, which
/// replace any of it, and what a soak cannot do without.
///
/// # Errors
/// [`WordsError`].
pub fn guest_words(words: &[String], vcpus: u32) -> Result<String, WordsError> {
    for (key, why) in [
        ("mode=", "a soak runs mode=stress"),
        ("seconds=", "the soak ends the guest; see --cycles"),
        ("settle=", "a soak counts from the start"),
        ("clocks=", "a soak always watches the clocks"),
    ] {
        if let Some(word) = words.iter().find(|word| word.starts_with(key)) {
            let word = word.clone();
            return Err(WordsError::Unsuitable { word, why });
        }
    }
    let pcpus = thread::available_parallelism().map_or(1, usize::from);
    let overcommitted = usize::try_from(vcpus).is_ok_and(|vcpus| vcpus > pcpus);
    let window = if overcommitted {
        WINDOW_OVERCOMMITTED
    } else {
        WINDOW
    };
    let own = words.join(" ");
    let mut line = format!("{CONTENDED} window={window}");
    for part in [own.as_str(), ALWAYS] {
        if !part.is_empty() {
            line.push(' ');
            line.push_str(part);
        }
    }
    let args = Args::parse(&line, |_| false).map_err(|bad| WordsError::Bad {
        word: bad.word.to_owned(),
        expected: bad.expected.to_owned(),
    })?;
    debug_assert_eq!(args.mode, PayloadMode::Stress);
    if args.io == 0 {
        return Err(WordsError::Unsuitable {
            word: "io=0".to_owned(),
            why: "a soak counts the guest's I/O; give io=1 or more",
        });
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str, vcpus: u32) -> Result<String, WordsError> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        guest_words(&words, vcpus)
    }

    #[test]
    fn the_users_words_replace_the_workload_and_not_the_checks() {
        let line = words("ring=0 window=7 io=3", 2).unwrap();
        let args = Args::parse(&line, |_| false).unwrap();
        assert_eq!((args.window, args.io), (7, 3));
        assert_eq!(args.duration_ms, 86_400_000);
        assert_eq!(args.clocks, guest_payload::args::Clocks::On);
    }

    #[test]
    fn a_window_outlasts_the_wait_for_a_pcpu() {
        let window = |vcpus| {
            let line = words("", vcpus).unwrap();
            Args::parse(&line, |_| false).unwrap().window
        };
        assert_eq!(window(1), WINDOW);
        assert_eq!(window(100_000), WINDOW_OVERCOMMITTED);
    }

    #[test]
    fn what_would_blind_the_soak_is_refused() {
        for bad in [
            "io=0",
            "clocks=off",
            "seconds=3",
            "mode=latency",
            "settle=1",
        ] {
            let error = words(bad, 2).unwrap_err();
            assert!(matches!(error, WordsError::Unsuitable { .. }), "{error}");
            assert!(error.to_string().contains(bad), "{error}");
        }
        let error = words("rnig=3", 2).unwrap_err();
        assert!(matches!(error, WordsError::Bad { .. }), "{error}");
    }
}
