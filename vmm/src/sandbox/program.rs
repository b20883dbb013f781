//! A role's calls as the program that the kernel runs at each system call.
//!
//! The conditions on arguments are `seccompiler`'s. The way to them is not: it compares with one
//! number after the other, and the kernel walks through a new filter once for every system call
//! that there is (`seccomp_cache_prepare_bitmap`), so that a list of 40 calls costs each thread a
//! good part of a millisecond when it starts. A search by halves costs a tenth of it.

use std::collections::BTreeMap;

use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompRule, sock_filter};

use super::call::{Call, Only};

/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;
/// Where `seccomp_data` has the number of the system call, and the architecture it is made in.
const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;

/// The instructions of classic BPF that are needed here (linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_NOT_BELOW: u16 = 0x35;
const RETURN: u16 = 0x06;

/// What becomes of one call.
#[derive(Debug)]
struct Leaf {
    /// What has to hold of its arguments: one of these, or nothing.
    rules: Option<Vec<SeccompRule>>,
    /// What is returned where nothing holds.
    otherwise: u32,
}

/// Fails with EPERM.
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();

const fn instruction(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

/// Over `then` instructions if it holds, else over `otherwise`.
const fn jump(code: u16, k: u32, then: u8, otherwise: u8) -> sock_filter {
    sock_filter {
        code,
        jt: then,
        jf: otherwise,
        k,
    }
}

/// Over so many instructions, whatever holds.
fn jump_over(instructions: &[sock_filter]) -> Result<sock_filter, BackendError> {
    let count = u32::try_from(instructions.len());
    let count = count.map_err(|_| BackendError::FilterTooLarge(instructions.len()))?;
    Ok(instruction(JUMP, count))
}

/// The program that allows `calls` to the process `pid` and returns `otherwise` for all others.
///
/// # Errors
/// `seccompiler`'s, for tables that cannot be.
pub(super) fn program<'c>(
    calls: impl IntoIterator<Item = &'c Call>,
    pid: u32,
    otherwise: u32,
) -> Result<BpfProgram, BackendError> {
    let mut leaves = BTreeMap::<u32, Leaf>::new();
    for call in calls {
        let number = u32::try_from(call.number);
        let number = number.map_err(|_| BackendError::InvalidArgumentNumber)?;
        let leaf = leaves.entry(number).or_insert_with(|| Leaf {
            rules: Some(Vec::new()),
            otherwise,
        });
        match call.rule(pid)? {
            _ if call.only == Only::Refused => leaf.otherwise = REFUSE,
            // With any arguments: whatever else is said of it says nothing more.
            None => leaf.rules = None,
            Some(rule) => leaf
                .rules
                .iter_mut()
                .for_each(|rules| rules.push(rule.clone())),
        }
    }
    let leaves: Vec<_> = leaves.into_iter().collect();
    let forbid = instruction(RETURN, otherwise);
    let mut program = vec![
        instruction(LOAD_WORD, ARCH_AT),
        jump(JUMP_IF_EQUAL, X86_64, 1, 0),
        // Other numbers for other calls: no thread of this program makes them.
        instruction(RETURN, SeccompAction::KillProcess.into()),
        instruction(LOAD_WORD, NUMBER_AT),
    ];
    program.extend(search(&leaves, forbid)?);
    Ok(program)
}

/// Finds the number that has been loaded among those of `leaves`, which are in order.
fn search(leaves: &[(u32, Leaf)], forbid: sock_filter) -> Result<BpfProgram, BackendError> {
    let allow = instruction(RETURN, SeccompAction::Allow.into());
    match leaves {
        [] => Ok(vec![forbid]),
        [(number, Leaf { rules: None, .. })] => {
            Ok(vec![jump(JUMP_IF_EQUAL, *number, 0, 1), allow, forbid])
        }
        [
            (
                number,
                Leaf {
                    rules: Some(rules),
                    otherwise,
                },
            ),
        ] => {
            let mut leaf = BpfProgram::new();
            for rule in rules {
                leaf.extend(BpfProgram::from(rule.clone()));
                leaf.push(allow.clone());
            }
            leaf.push(instruction(RETURN, *otherwise));
            let mut program = vec![jump(JUMP_IF_EQUAL, *number, 1, 0), jump_over(&leaf)?];
            program.extend(leaf);
            program.push(forbid);
            Ok(program)
        }
        _ => {
            let (below, from) = leaves.split_at(leaves.len() / 2);
            let middle = from.first().map_or(0, |(number, _)| *number);
            let (below, from) = (search(below, forbid.clone())?, search(from, forbid)?);
            let mut program = vec![jump(JUMP_IF_NOT_BELOW, middle, 0, 1), jump_over(&below)?];
            program.extend(below);
            program.extend(from);
            Ok(program)
        }
    }
}

#[cfg(test)]
#[path = "program_test.rs"]
mod tests;
