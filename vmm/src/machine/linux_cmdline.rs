//! What a Linux kernel needs on its command line.

use crate::cpu::pv_leaves::Vmcall;
use crate::spec::GivenCmdline;

/// A kernel's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cmdline {
    /// All of it.
    pub text: String,
    /// The words that the user did not give.
    pub added: Vec<String>,
    /// What these have of the text's bytes.
    pub added_bytes: usize,
}

impl Cmdline {
    /// Nothing is added.
    pub fn as_given(given: &GivenCmdline) -> Self {
        Self::unchanged(given.text())
    }

    fn unchanged(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            added: Vec::new(),
            added_bytes: 0,
        }
    }
}

/// The user's, or the default where none is given, with what this host makes necessary. An empty one
/// is given.
pub(super) fn complete(given: &GivenCmdline, vmcall: Vmcall) -> Cmdline {
    let text = match given {
        GivenCmdline::Default => DEFAULT,
        GivenCmdline::Text(text) => text,
    };
    match vmcall {
        Vmcall::Completes => Cmdline::unchanged(text),
        // CPL 0 is emulated on the hosts where it does not.
        Vmcall::NeverCompletes => for_emulated_host(text),
    }
}

/// Linux's command line where the user gives none: its messages on the serial port, and an end
/// instead of a stop after a panic.
const DEFAULT: &str = "console=ttyS0 panic=-1";

/// Keeps the kernel's FPU code from XSAVE, which KVM's emulator does not have.
const NO_XSAVE: &str = "noxsave";
/// Takes features from the kernel that CPUID shows whatever the VMM says.
const CLEAR: &str = "clearcpuid=";
/// Features whose instructions KVM's emulator does not have, by Linux's names. A kernel at CPL 0
/// that is emulated must not use them. (`erms` and `fsrm` are about speed: with them Linux copies by
/// bytes, and each byte is an instruction to an emulator.)
const NOT_EMULATED: [&str; 17] = [
    "popcnt",
    "cx16",
    "erms",
    "fsrm",
    "smap",
    "pku",
    "rdrand",
    "rdseed",
    "invpcid",
    "fsgsbase",
    "umip",
    "pcid",
    "bmi1",
    "bmi2",
    "avx",
    "avx2",
    "serialize",
];

/// `cmdline` for a host whose KVM emulates CPL 0, and what was added to it. What the user has there
/// stays; a `clearcpuid=` of the user's gets the missing features, because Linux takes only one.
fn for_emulated_host(cmdline: &str) -> Cmdline {
    let words = || words(cmdline);
    // What follows `--` is init's.
    let end = words()
        .find(|&(_, word)| matches!(word, "--" | "\"--\""))
        .map_or(cmdline.len(), |(at, _)| at);
    let of_kernel = || words().take_while(|&(at, _)| at < end);
    let asked = of_kernel()
        .filter(|(_, word)| word.starts_with(CLEAR))
        .last();
    let cleared = asked.map_or("", |(_, word)| &word[CLEAR.len()..]);
    let missing: Vec<&str> = NOT_EMULATED
        .into_iter()
        .filter(|feature| !cleared.split(',').any(|cleared| cleared == *feature))
        .collect();

    let mut text = cmdline[..end].trim_end().to_owned();
    let mut added = Vec::new();
    if !missing.is_empty() {
        let missing = missing.join(",");
        added.push(format!("{CLEAR}{missing}"));
        match asked {
            Some((at, word)) => text.insert_str(at + word.len(), &format!(",{missing}")),
            None => push_word(&mut text, &format!("{CLEAR}{missing}")),
        }
    }
    if !of_kernel().any(|(_, word)| word == NO_XSAVE) {
        added.push(NO_XSAVE.to_owned());
        push_word(&mut text, NO_XSAVE);
    }
    if end < cmdline.len() {
        push_word(&mut text, &cmdline[end..]);
    }
    Cmdline {
        added_bytes: text.len().saturating_sub(cmdline.len()),
        text,
        added,
    }
}

fn push_word(text: &mut String, word: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
}

/// The words of `text` and where they begin, split as Linux does: a space between double quotes
/// splits nothing.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let space = |c: char| c.is_ascii_whitespace();
        let start = at + text[at..].find(|c| !space(c))?;
        let mut is_quoted = false;
        let length = text[start..].find(|c| {
            is_quoted ^= c == '"';
            space(c) && !is_quoted
        });
        at = length.map_or(text.len(), |length| start + length);
        Some((start, &text[start..at]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "clearcpuid=popcnt,cx16,erms,fsrm,smap,pku,rdrand,rdseed,invpcid,fsgsbase,umip,pcid,\
                       bmi1,bmi2,avx,avx2,serialize";

    #[test]
    fn a_kernel_gets_what_it_must_not_use() {
        let Cmdline {
            text,
            added,
            added_bytes,
        } = for_emulated_host("console=ttyS0");
        assert_eq!(text, format!("console=ttyS0 {ALL} noxsave"));
        assert_eq!(added, [ALL, "noxsave"]);
        assert_eq!(added_bytes, format!(" {ALL} noxsave").len());
        assert_eq!(for_emulated_host("").text, format!("{ALL} noxsave"));
    }

    #[test]
    fn what_is_there_already_stays_as_it_is() {
        let once = for_emulated_host("a=\"b  c\"  noxsave").text;
        assert_eq!(once, format!("a=\"b  c\"  noxsave {ALL}"));
        let Cmdline {
            text: twice, added, ..
        } = for_emulated_host(&once);
        assert_eq!(twice, once);
        assert!(added.is_empty());
    }

    #[test]
    fn only_where_none_is_given_there_is_a_default() {
        let text = |given: &GivenCmdline| complete(given, Vmcall::Completes).text;
        assert_eq!(text(&GivenCmdline::Default), DEFAULT);
        assert_eq!(text(&GivenCmdline::Text(String::new())), "");
    }

    #[test]
    fn dashes_between_quotes_end_nothing() {
        let cmdline = for_emulated_host("a=\"b -- c\" quiet -- d").text;
        assert_eq!(cmdline, format!("a=\"b -- c\" quiet {ALL} noxsave -- d"));
        // Linux takes the quotes around a word away.
        let cmdline = for_emulated_host("quiet \"--\" d").text;
        assert_eq!(cmdline, format!("quiet {ALL} noxsave \"--\" d"));
    }

    #[test]
    fn the_users_own_features_are_kept() {
        let cmdline = for_emulated_host("clearcpuid=la57,popcnt quiet").text;
        assert!(cmdline.starts_with("clearcpuid=la57,popcnt,cx16,erms,fsrm,smap,"));
        assert!(cmdline.ends_with(",serialize quiet noxsave"));
    }

    #[test]
    fn the_words_of_init_come_last() {
        let cmdline = for_emulated_host("quiet -- noxsave").text;
        assert_eq!(cmdline, format!("quiet {ALL} noxsave -- noxsave"));
    }
}
