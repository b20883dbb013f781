//! The conformance cases of the kick hypercall: their names, what KVM does in each, and the words
//! in which the guest reports and the host reads.
//!
//! Every case is one line on the serial port:
//! `conformance: NAME expected FACTS seen FACTS PASS|FAIL`, or `... expected FACTS SKIP REASON` on
//! a machine that does not suit the case. FACTS are words joined by commas. What is seen is written
//! as it is seen, so a case that never ends has said how far it came. The last line is
//! `conformance: done PASS|FAIL`.

/// What every line starts with.
pub const LINE_PREFIX: &str = "conformance: ";
/// The name in the last line.
pub const DONE: &str = "done";
/// Kicks sent to a CPU that waits for SIPI, in [`Case::KickBeforeSipi`].
pub const KICKS_BEFORE_SIPI: u32 = 5;
/// Most facts a case has.
pub const FACTS_MAX: usize = 6;

/// One thing that a case has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// RAX after the hypercall.
    Answer(i64),
    /// A halted CPU did not go on.
    Sleeps,
    /// A halted CPU went on.
    Wakes,
    /// A CPU that waited for SIPI came up.
    Starts,
}

/// The text of one [`Fact`].
#[derive(Clone, Copy, Debug)]
pub struct Word {
    bytes: [u8; Self::BYTES],
    start: usize,
}

impl Word {
    /// `0x` and 16 digits.
    const BYTES: usize = 18;

    fn empty() -> Self {
        Self {
            bytes: [0; Self::BYTES],
            start: Self::BYTES,
        }
    }

    fn prepend(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    /// `value` in `base`, at most 16 digits.
    fn number(mut value: u64, base: u64) -> Self {
        let mut word = Self::empty();
        loop {
            let digit = (value % base).to_le_bytes()[0];
            word.prepend(if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            });
            value /= base;
            if value == 0 {
                return word;
            }
        }
    }

    fn text(text: &str) -> Self {
        let mut word = Self::empty();
        text.bytes().rev().for_each(|byte| word.prepend(byte));
        word
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[self.start..]).unwrap_or("")
    }
}

impl Fact {
    /// The word for it: a return code in decimal, any other RAX as the whole register in
    /// hexadecimal. Without `core::fmt`, whose code uses SSE.
    pub fn word(self) -> Word {
        const CODES: i64 = 10_000;
        match self {
            Self::Answer(rax) if rax.unsigned_abs() < CODES.unsigned_abs() => {
                let mut word = Word::number(rax.unsigned_abs(), 10);
                if rax < 0 {
                    word.prepend(b'-');
                }
                word
            }
            Self::Answer(rax) => {
                let mut word = Word::number(rax.cast_unsigned(), 16);
                word.prepend(b'x');
                word.prepend(b'0');
                word
            }
            Self::Sleeps => Word::text("sleeps"),
            Self::Wakes => Word::text("wakes"),
            Self::Starts => Word::text("starts"),
        }
    }
}

macro_rules! cases {
    ($($(#[doc = $doc:literal])+ $case:ident $name:literal [$($fact:expr),+];)+) => {
        /// One case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Case {
            $($(#[doc = $doc])+ $case,)+
        }

        impl Case {
            /// All of them, in the order in which they run.
            pub const ALL: &[Self] = &[$(Self::$case),+];

            /// Its name in `cases=` and in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$case => $name),+ }
            }

            /// What KVM does, in the order in which the case looks.
            pub const fn expected(self) -> &'static [Fact] {
                use Fact::{Answer, Sleeps, Starts, Wakes};
                match self { $(Self::$case => &[$($fact),+]),+ }
            }
        }
    };
}

cases! {
    /// Kicks to a CPU that waits for SIPI are answered, and it starts as ever.
    KickBeforeSipi "kick-before-sipi" [Answer(0), Starts, Sleeps, Wakes];
    /// A halted CPU sleeps until it is kicked.
    KnownId "known-id" [Sleeps, Answer(0), Wakes];
    /// A kick for an APIC ID that nobody has is answered, and wakes nobody.
    UnknownId "unknown-id" [Answer(0), Sleeps];
    /// CPL 3 may not.
    Cpl3 "cpl3" [Answer(-1), Sleeps];
    /// No such hypercall.
    UnknownNumber "unknown-number" [Answer(-1000)];
    /// The one other hypercall that needs no feature.
    PollIrq "poll-irq" [Answer(0)];
    /// In 64-bit mode the whole of RAX is the number.
    HighBitsOfNumber "high-bits-of-number" [Answer(-1000), Sleeps];
    /// The APIC ID is an `int`: the high half of RCX is dropped.
    HighBitsOfA1 "high-bits-of-a1" [Answer(0), Wakes];
    /// RBX, the flags, is unused.
    Flags "flags" [Answer(0), Wakes];
    /// 0xff reaches all.
    Broadcast "broadcast" [Answer(0), Wakes, Wakes];
    /// A kick to itself makes the next HLT return at once, and only the next.
    KickSelf "kick-self" [Answer(0), Wakes, Sleeps, Wakes];
    /// n kicks are one bit.
    ManyKicks "many-kicks" [Answer(0), Wakes, Sleeps, Wakes];
    /// A kick that comes before the HLT is not lost.
    KickBeforeHlt "kick-before-hlt" [Answer(0), Wakes];
    /// Outside 64-bit mode number, arguments and result are cut to 32 bits.
    Caller32 "caller-32-bit" [Answer(0), Wakes, Answer(0xffff_fc18)];
    /// A kick reaches a CPU whose local APIC is disabled by software (SVR bit 8).
    SoftwareDisabledApic "software-disabled-apic" [Answer(0), Wakes];
    /// APIC IDs are no indices: with gaps among them, the ID and only the ID counts.
    SparseIds "sparse-ids" [Answer(0), Sleeps, Answer(0), Wakes, Sleeps];
    /// An APIC ID that needs x2APIC.
    IdAbove254 "id-above-254" [Sleeps, Answer(0), Wakes];
    /// PV_UNHALT is not shown, and the host holds the guest to it: no such hypercall.
    FeatureOffEnforced "feature-off-enforced" [Answer(-1000)];
    /// PV_UNHALT is not shown, but the hypercall works all the same.
    FeatureOffNotEnforced "feature-off-not-enforced" [Sleeps, Answer(0), Wakes];
}

impl Case {
    /// The case of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|case| case.name() == name)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_lead_back_to_their_case() {
        for case in Case::ALL {
            assert_eq!(Case::from_name(case.name()), Some(*case));
            assert!(!case.name().contains([' ', ',', '=']));
            assert_ne!(case.name(), DONE);
        }
        assert_eq!(Case::from_name("known"), None);
    }

    #[test]
    fn no_case_has_more_facts_than_a_report_holds() {
        for case in Case::ALL {
            assert!(case.expected().len() <= FACTS_MAX, "{}", case.name());
        }
    }

    #[test]
    fn return_codes_are_decimal_and_registers_hexadecimal() {
        for (rax, text) in [
            (0, "0"),
            (-1, "-1"),
            (-1000, "-1000"),
            (0xffff_fc18, "0xfffffc18"),
            (i64::MIN, "0x8000000000000000"),
        ] {
            assert_eq!(Fact::Answer(rax).word().as_str(), text);
        }
        assert_eq!(Fact::Sleeps.word().as_str(), "sleeps");
    }
}
