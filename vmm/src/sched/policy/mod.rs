//! Who is next: one small pure rule a policy.

mod adversarial;
pub(super) mod table;

use super::config::PolicyKind;

/// A vCPU that waits for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its index.
    pub(super) vcpu: usize,
    /// Its place in the queue: less is earlier, and no two have the same.
    pub(super) place: u64,
    /// Its virtual time on a token, in ns.
    pub(super) virtual_ns: u64,
}

/// A policy and what it remembers.
pub(super) trait Rule {
    /// The rule for so many pCPUs; `seed` is of all that it draws.
    fn new(seed: u64, pcpus: usize) -> Self;

    /// Draws for the choice number `decision`, for each of `vcpus`, into `draws`, which is empty.
    /// Most rules draw nothing.
    fn draw(&self, decision: u64, vcpus: usize, draws: &mut Vec<u64>) {
        let _ = (decision, vcpus, draws);
    }

    /// Who of `candidates` is next, after what [`Self::draw`] has drawn; `None` only where there is
    /// none.
    fn pick(&self, draws: &[u64], candidates: &[Candidate]) -> Option<usize>;

    /// How many others may come and still go before a vCPU that was preempted on purpose.
    fn places_lost(&self) -> u64 {
        0
    }
}

macro_rules! policy {
    ($($file:ident::$rule:ident, $kind:ident $name:literal, $reference:literal;)*) => {
        $(mod $file;)*

        /// A policy and what it remembers.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Policy {
            $($kind($file::$rule),)*
            Adversarial(adversarial::Adversarial),
        }

        impl Policy {
            pub(super) fn new(kind: PolicyKind, seed: u64, pcpus: usize) -> Self {
                match kind {
                    $(PolicyKind::$kind => Self::$kind(Rule::new(seed, pcpus)),)*
                    PolicyKind::Adversarial(_) => Self::Adversarial(Rule::new(seed, pcpus)),
                }
            }

            /// See [`Rule::draw`].
            pub(super) fn draw(&self, decision: u64, vcpus: usize, draws: &mut Vec<u64>) {
                draws.clear();
                match self {
                    $(Self::$kind(rule) => rule.draw(decision, vcpus, draws),)*
                    Self::Adversarial(rule) => rule.draw(decision, vcpus, draws),
                }
            }

            /// See [`Rule::pick`].
            pub(super) fn pick(&self, draws: &[u64], candidates: &[Candidate]) -> Option<usize> {
                match self {
                    $(Self::$kind(rule) => rule.pick(draws, candidates),)*
                    Self::Adversarial(rule) => rule.pick(draws, candidates),
                }
            }

            /// See [`Rule::places_lost`].
            pub(super) fn places_lost(&self) -> u64 {
                match self {
                    $(Self::$kind(rule) => rule.places_lost(),)*
                    Self::Adversarial(rule) => rule.places_lost(),
                }
            }
        }
    };
}

table::policies!(policy);

pub(super) use gang::Gang;

#[cfg(all(test, not(loom)))]
#[path = "policy_test.rs"]
mod tests;
