//! `--kick-fault`: kicks that go wrong on purpose.

use std::str::FromStr;
use std::time::Duration;

use crate::random::mix;
use crate::text;

/// What goes wrong, and how often. Seeded: the n-th kick meets the same fate in every run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KickFaults {
    /// Share of the kicks that are swallowed.
    pub drop: f64,
    /// Share of the kicks that are delivered twice.
    pub dup: f64,
    /// Share of the kicks that go to another vCPU.
    pub misroute: f64,
    /// Each kick is delivered after so long.
    pub delay: Duration,
}

/// What becomes of one kick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It goes where it should.
    None,
    /// It is swallowed.
    Drop,
    /// It is delivered twice.
    Duplicate,
    /// It goes to another vCPU; which one, [`other_vcpu`] says.
    Misroute {
        /// What was drawn for that.
        draw: u64,
    },
}

impl KickFaults {
    /// The fate of the kick of this number, from 1: the same for the same seed, whoever kicks whom
    /// and when.
    pub fn fate(&self, seed: u64, number: u64) -> Fault {
        // Two draws of their own: which share it falls in must not tell where it goes.
        let drawn = unit(mix(mix(seed) ^ number));
        if drawn < self.drop {
            Fault::Drop
        } else if drawn < self.drop + self.dup {
            Fault::Duplicate
        } else if drawn < self.drop + self.dup + self.misroute {
            Fault::Misroute {
                draw: mix(mix(!seed) ^ number),
            }
        } else {
            Fault::None
        }
    }
}

/// One of `vcpus` vCPUs that is not `target`, as `draw` says; `None` where there is no other.
pub fn other_vcpu(draw: u64, target: u32, vcpus: u32) -> Option<u32> {
    let others = u64::from(vcpus)
        .checked_sub(1)
        .filter(|others| *others != 0)?;
    let step = 1 + draw % others;
    u32::try_from((u64::from(target) + step) % u64::from(vcpus)).ok()
}

/// From 0 to below 1, in steps of 2^-32, which a float holds exactly.
fn unit(bits: u64) -> f64 {
    const STEPS: f64 = 4_294_967_296.0;
    let high = u32::try_from(bits >> 32).unwrap_or(u32::MAX);
    f64::from(high) / STEPS
}

impl FromStr for KickFaults {
    type Err = String;

    /// `drop=P,delay=US,dup=P,misroute=P`
    fn from_str(text: &str) -> Result<Self, String> {
        const DELAY_US_MAX: u64 = 10_000_000;
        let mut faults = Self::default();
        for (key, value) in text::pairs(text)? {
            match key {
                "drop" => faults.drop = text::share(value)?,
                "dup" => faults.dup = text::share(value)?,
                "misroute" => faults.misroute = text::share(value)?,
                "delay" => {
                    let us = value.parse().ok().filter(|us| *us <= DELAY_US_MAX);
                    let us = us.ok_or("delay: microseconds, at most 10000000")?;
                    faults.delay = Duration::from_micros(us);
                }
                _ => return Err(format!("`{key}`: one of drop, delay, dup and misroute")),
            }
        }
        if faults.drop + faults.dup + faults.misroute > 1.0 {
            return Err("drop, dup and misroute add up to more than 1".to_owned());
        }
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KICKS: u64 = 100_000;

    fn fates(faults: KickFaults, seed: u64) -> Vec<Fault> {
        (1..=KICKS)
            .map(|number| faults.fate(seed, number))
            .collect()
    }

    fn mixed() -> KickFaults {
        KickFaults {
            drop: 0.01,
            dup: 0.1,
            misroute: 0.05,
            delay: Duration::ZERO,
        }
    }

    #[test]
    fn the_same_seed_has_the_same_kicks_go_wrong_and_another_has_not() {
        assert_eq!(fates(mixed(), 7), fates(mixed(), 7));
        assert_ne!(fates(mixed(), 7), fates(mixed(), 8));
    }

    #[test]
    fn as_many_go_wrong_as_were_asked_for() {
        let fates = fates(mixed(), 1);
        let share = |is: fn(&Fault) -> bool| {
            let count = u32::try_from(fates.iter().filter(|fault| is(fault)).count()).unwrap();
            f64::from(count) / 100_000.0
        };
        assert!((share(|fault| *fault == Fault::Drop) - 0.01).abs() < 0.002);
        assert!((share(|fault| *fault == Fault::Duplicate) - 0.1).abs() < 0.005);
        assert!((share(|fault| matches!(fault, Fault::Misroute { .. })) - 0.05).abs() < 0.004);
    }

    #[test]
    fn all_and_none_are_exact() {
        let drop = |drop| KickFaults {
            drop,
            ..KickFaults::default()
        };
        assert!(
            fates(drop(1.0), 3)
                .iter()
                .all(|fault| *fault == Fault::Drop)
        );
        assert!(
            fates(drop(0.0), 3)
                .iter()
                .all(|fault| *fault == Fault::None)
        );
    }

    #[test]
    fn every_other_vcpu_is_met() {
        let met: std::collections::BTreeSet<_> = (0..100)
            .filter_map(|number| other_vcpu(mix(number), 2, 5))
            .collect();
        assert_eq!(met.into_iter().collect::<Vec<_>>(), [0, 1, 3, 4]);
    }

    #[test]
    fn a_lone_vcpu_has_no_other() {
        assert_eq!(other_vcpu(9, 0, 1), None);
        assert_eq!(other_vcpu(9, 0, 0), None);
    }

    proptest! {
        #[test]
        fn a_kick_goes_astray_to_one_that_exists_and_is_another(
            draw: u64, vcpus in 2..2000_u32, target: u32,
        ) {
            let target = target % vcpus;
            let other = other_vcpu(draw, target, vcpus).unwrap();
            prop_assert!(other != target && other < vcpus);
        }
    }
}
