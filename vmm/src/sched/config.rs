//! `--sched`, `--pcpus`, `--slice` and `--preempt-holder`.

use std::str::FromStr;
use std::time::Duration;

use super::policy::table::policies;
use crate::text;

/// Who decides which vCPUs run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Sched {
    /// The host's scheduler, as for any thread.
    #[default]
    Host,
    /// The VMM: a vCPU is in KVM_RUN only while it holds one of a few tokens.
    Tokens(TokenSched),
}

/// How the VMM schedules vCPUs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenSched {
    /// Who is next.
    pub policy: PolicyKind,
    /// Tokens: vCPUs that run at a time.
    pub pcpus: u32,
    /// After so long a vCPU gives its token to another that can run.
    pub slice: Duration,
    /// Seed of all draws.
    pub seed: u64,
}

macro_rules! policy_kind {
    ($($file:ident::$rule:ident, $kind:ident $name:literal, $reference:literal;)*) => {
        /// A scheduling policy.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum PolicyKind {
            $(
                #[doc = concat!("`", $name, "`, see its file.")]
                $kind,
            )*
            /// As round robin, and vCPUs lose their tokens where it hurts.
            Adversarial(Adversary),
        }

        impl PolicyKind {
            /// Those without settings.
            pub const PLAIN: [Self; [$($name),*].len()] = [$(Self::$kind),*];

            /// Its name on the command line and in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                    Self::Adversarial(_) => ADVERSARIAL,
                }
            }

            /// Its row of the reference, without its name; `None` for the one with settings.
            pub const fn reference(self) -> Option<&'static str> {
                match self {
                    $(Self::$kind => Some($reference),)*
                    Self::Adversarial(_) => None,
                }
            }
        }
    };
}

policies!(policy_kind);

const HOST: &str = "host";
/// Name of the policy with settings.
pub const ADVERSARIAL: &str = "adversarial";

/// What `--sched` takes, for its help.
pub fn sched_names() -> String {
    let plain = PolicyKind::PLAIN.map(PolicyKind::name).join(", ");
    format!("{HOST}, {plain} or {ADVERSARIAL}[:at=acquire|release,rate=SHARE]")
}

/// Where and how often an adversarial policy preempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adversary {
    /// Where.
    pub at: PreemptAt,
    /// At this share of those places, from 0 to 1.
    pub rate: f64,
}

/// A place in a guest's code where the host may preempt on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreemptAt {
    /// Just after a lock was taken: lock holder preemption.
    Acquire,
    /// Just before a lock is released: the next waiter finds nobody who hands it over.
    Release,
}

/// `--preempt-holder`: vCPUs that have just taken a lock are kept off their pCPUs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreemptHolder {
    /// At this share of the acquires, from 0 to 1.
    pub rate: f64,
    /// For so long.
    pub hold: Duration,
}

/// Default of `--slice`: about what Linux gives a vCPU thread that competes with another.
pub const SLICE_DEFAULT: Duration = Duration::from_millis(3);

/// A slice of `--slice`.
///
/// # Errors
/// No time, or one in which a vCPU would hardly get into the guest.
pub fn slice(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_micros(10);
    let slice = text::duration(text)?;
    (slice >= LEAST)
        .then_some(slice)
        .ok_or_else(|| format!("`{text}` is too short for a vCPU to get anywhere: at least 10us"))
}

/// What `--sched` says, before the other options are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SchedName {
    /// `host`
    Host,
    /// A policy.
    Policy(PolicyKind),
}

impl FromStr for SchedName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, settings) = match text.split_once(':') {
            Some((name, settings)) => (name, Some(settings)),
            None => (text, None),
        };
        let plain = PolicyKind::PLAIN
            .into_iter()
            .find(|kind| kind.name() == name);
        let named = match (name, plain) {
            (ADVERSARIAL, _) => {
                return Ok(Self::Policy(PolicyKind::Adversarial(adversary(settings)?)));
            }
            (HOST, _) => Self::Host,
            (_, Some(policy)) => Self::Policy(policy),
            (_, None) => return Err(format!("one of {}", sched_names())),
        };
        match settings {
            Some(_) => Err(format!("{name} has no settings")),
            None => Ok(named),
        }
    }
}

/// `at=acquire|release,rate=SHARE`
fn adversary(settings: Option<&str>) -> Result<Adversary, String> {
    let mut adversary = Adversary {
        at: PreemptAt::Acquire,
        rate: 0.01,
    };
    for (key, value) in settings.map_or(Ok(Vec::new()), text::pairs)? {
        match (key, value) {
            ("at", "acquire") => adversary.at = PreemptAt::Acquire,
            ("at", "release") => adversary.at = PreemptAt::Release,
            ("rate", rate) => adversary.rate = text::share(rate)?,
            _ => {
                return Err(format!(
                    "`{key}={value}`: adversarial has at=acquire|release and rate=SHARE"
                ));
            }
        }
    }
    Ok(adversary)
}

impl FromStr for PreemptHolder {
    type Err = String;

    /// `RATE` or `RATE,TIME`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (rate, hold) = match text.split_once(',') {
            Some((rate, hold)) => (rate, text::duration(hold)?),
            None => (text, SLICE_DEFAULT),
        };
        let rate = text::share(rate)?;
        Ok(Self { rate, hold })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slice_lasts_ten_microseconds_at_least() {
        assert_eq!(slice("10us"), Ok(Duration::from_micros(10)));
        for bad in ["1ns", "9999ns", "9us", "0us", "10"] {
            assert!(slice(bad).is_err(), "{bad}");
        }
    }
}
