//! A role's calls as the program that the kernel runs at each system call.
//!
//! `seccompiler` gives it to the kernel, but does not write it: its programs compare with one number
//! after the other, and the kernel compiles every instruction of a new filter and walks through it
//! once for each system call that there is (`seccomp_cache_prepare_bitmap`), so that 90 rows cost
//! each thread a good part of a millisecond when it starts. Searching by halves, with few ends that
//! all searches share, makes two fifths as many instructions.

use std::collections::BTreeMap;

use seccompiler::{BackendError, BpfProgram, SeccompAction, sock_filter};

use super::call::{Call, Condition};

/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;
/// Where `seccomp_data` has the number of the system call, the architecture it is made in, and its
/// arguments, of 8 bytes each, the lower half first.
const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;
const ARGUMENT_BYTES: u32 = 8;

/// The instructions of classic BPF that are needed here (linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_NOT_BELOW: u16 = 0x35;
const RETURN: u16 = 0x06;

/// How far a conditional jump is let reach: one less than it could, for the one instruction that may
/// come between.
const REACH: usize = 254;

/// What has to hold of a call's arguments: all of one of these.
type Alternatives = Vec<Vec<Condition>>;

/// What becomes of one call.
#[derive(Debug)]
struct Fate {
    /// When it is allowed; `None`: always.
    when: Option<Alternatives>,
    /// What it fails with where it is not allowed, if nothing else is to happen.
    refusal: Option<libc::c_int>,
}

/// The program that allows `calls` to the process `pid` and returns `otherwise` for all others.
///
/// # Errors
/// A table that is too long for a filter, or has numbers that no call has.
pub(super) fn program<'c>(
    calls: impl IntoIterator<Item = &'c Call>,
    pid: u32,
    otherwise: u32,
) -> Result<BpfProgram, BackendError> {
    let mut backwards = Backwards::default();
    let allow = backwards.ends_with(SeccompAction::Allow.into());
    let forbid = backwards.ends_with(otherwise);
    let mut places = BTreeMap::new();
    for (number, fate) in fates(calls, pid)? {
        let otherwise = match fate.refusal {
            None => forbid,
            Some(errno) => backwards.ends_with(libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()),
        };
        let place = match fate.when {
            None => allow,
            Some(alternatives) => backwards.check(&alternatives, allow, otherwise)?,
        };
        places.insert(number, place);
    }
    let found = backwards.search(forbid, &ranges(&places, forbid))?;
    let found = backwards.after(LOAD_WORD, NUMBER_AT, found)?;
    // Other numbers for other calls: no thread of this program makes them.
    let kill = backwards.ends_with(SeccompAction::KillProcess.into());
    let right = backwards.branch(JUMP_IF_EQUAL, X86_64, found, kill)?;
    backwards.after(LOAD_WORD, ARCH_AT, right)?;
    Ok(backwards.into_program())
}

/// What `calls` say of each number.
fn fates<'c>(
    calls: impl IntoIterator<Item = &'c Call>,
    pid: u32,
) -> Result<BTreeMap<u32, Fate>, BackendError> {
    let mut fates = BTreeMap::<u32, Fate>::new();
    for call in calls {
        let number = u32::try_from(call.number);
        let number = number.map_err(|_| BackendError::InvalidArgumentNumber)?;
        let fate = fates.entry(number).or_insert_with(|| Fate {
            when: Some(Vec::new()),
            refusal: None,
        });
        match call.only.conditions(pid) {
            _ if call.refusal().is_some() => fate.refusal = call.refusal(),
            // With any arguments: whatever else is said of it says nothing more.
            conditions if conditions.is_empty() => fate.when = None,
            conditions => {
                if let Some(alternatives) = &mut fate.when {
                    alternatives.push(conditions);
                }
            }
        }
    }
    Ok(fates)
}

/// Where the numbers lead to, as ranges that begin at a number and end where the next one begins.
/// What is below the first leads to `otherwise`.
fn ranges(places: &BTreeMap<u32, Place>, otherwise: Place) -> Vec<(u32, Place)> {
    let mut ranges: Vec<(u32, Place)> = Vec::new();
    for (&number, &place) in places {
        // There is nothing between it and the one before.
        ranges.pop_if(|(end, _)| *end == number);
        if ranges.last().is_none_or(|(_, last)| *last != place) {
            ranges.push((number, place));
        }
        if let Some(end) = number.checked_add(1) {
            ranges.push((end, otherwise));
        }
    }
    ranges
}

/// A place in a program: how many instructions there are from it to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(usize);

/// A program that is written from its end. All jumps of a filter lead forward, so that each leads to
/// something that is there.
#[derive(Debug, Default)]
struct Backwards(BpfProgram);

impl Backwards {
    fn into_program(mut self) -> BpfProgram {
        self.0.reverse();
        self.0
    }

    fn push(&mut self, code: u16, k: u32, jt: u8, jf: u8) -> Place {
        self.0.push(sock_filter { code, jt, jf, k });
        Place(self.0.len())
    }

    /// How many instructions what is written next would jump over to come to `place`.
    fn over<N: TryFrom<usize>>(&self, place: Place) -> Result<N, BackendError> {
        let instructions = self.0.len() - place.0;
        N::try_from(instructions).map_err(|_| BackendError::FilterTooLarge(instructions))
    }

    fn ends_with(&mut self, action: u32) -> Place {
        self.push(RETURN, action, 0, 0)
    }

    /// `place`, or a jump to it from where a condition reaches it.
    fn near(&mut self, place: Place) -> Result<Place, BackendError> {
        if self.0.len() - place.0 <= REACH {
            return Ok(place);
        }
        let over = self.over(place)?;
        Ok(self.push(JUMP, over, 0, 0))
    }

    fn branch(
        &mut self,
        code: u16,
        k: u32,
        then: Place,
        otherwise: Place,
    ) -> Result<Place, BackendError> {
        let then = self.near(then)?;
        let otherwise = self.near(otherwise)?;
        let (jt, jf) = (self.over(then)?, self.over(otherwise)?);
        Ok(self.push(code, k, jt, jf))
    }

    /// An instruction, after which it goes on at `next`.
    fn after(&mut self, code: u16, k: u32, next: Place) -> Result<Place, BackendError> {
        if next.0 != self.0.len() {
            let over = self.over(next)?;
            self.push(JUMP, over, 0, 0);
        }
        Ok(self.push(code, k, 0, 0))
    }

    /// Leads what has been loaded to the place of its range; to `below` if it is in none.
    fn search(&mut self, below: Place, ranges: &[(u32, Place)]) -> Result<Place, BackendError> {
        let (lower, upper) = ranges.split_at(ranges.len() / 2);
        let Some(((middle, place), upper)) = upper.split_first() else {
            return Ok(below);
        };
        let from = self.search(*place, upper)?;
        let below = self.search(below, lower)?;
        self.branch(JUMP_IF_NOT_BELOW, *middle, from, below)
    }

    /// Leads a call to `allow` if all conditions of an alternative hold.
    fn check(
        &mut self,
        alternatives: &Alternatives,
        allow: Place,
        otherwise: Place,
    ) -> Result<Place, BackendError> {
        if let Some((argument, values)) = values_of_one_argument(alternatives) {
            let places = values.into_iter().map(|value| (value, allow)).collect();
            let found = self.search(otherwise, &ranges(&places, otherwise))?;
            return self.after(LOAD_WORD, lower_half(argument), found);
        }
        let mut next = otherwise;
        for conditions in alternatives.iter().rev() {
            let mut holds = allow;
            for condition in conditions.iter().rev() {
                holds = self.branch(JUMP_IF_EQUAL, condition.value, holds, next)?;
                holds = self.after(AND, condition.mask, holds)?;
                holds = self.after(LOAD_WORD, lower_half(condition.argument), holds)?;
            }
            next = holds;
        }
        Ok(next)
    }
}

/// The kernel takes all these arguments as 32 bits.
fn lower_half(argument: u8) -> u32 {
    ARGUMENTS_AT + u32::from(argument) * ARGUMENT_BYTES
}

/// The values of which one argument has to have one, if that is all there is to `alternatives`.
fn values_of_one_argument(alternatives: &Alternatives) -> Option<(u8, Vec<u32>)> {
    let [Condition { argument, .. }] = alternatives.first()?.as_slice() else {
        return None;
    };
    let values = alternatives
        .iter()
        .map(|alternative| match alternative[..] {
            [ref only] if only.argument == *argument && only.mask == u32::MAX => Some(only.value),
            _ => None,
        });
    Some((*argument, values.collect::<Option<_>>()?))
}

#[cfg(test)]
#[path = "program_test.rs"]
mod tests;
