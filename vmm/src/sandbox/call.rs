//! One system call that a thread may make, and the reason: a row of a table.

use crate::os::call_names;

/// A system call that is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// With which arguments.
    pub only: Only,
    /// What it is needed for.
    pub why: &'static str,
}

/// Which arguments a call may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// Any.
    Anything,
    /// This request of an ioctl.
    Request(Request),
    /// Memory that is nobody's file and never executed.
    PlainMemory,
    /// No memory becomes executable.
    NeverExecuted,
    /// This process or one of its threads, as first argument.
    ThisProcess,
    /// A first argument.
    First(Named),
    /// A second argument.
    Second(Named),
    /// A thread of this process, not a process.
    Thread,
    /// A request of KVM's, whichever.
    Kvm,
    /// None: it fails with EPERM, and nothing ends. For what a library tries and does without.
    Refused,
    /// None: it fails with ENOSYS, as in a kernel that does not have it.
    Unknown,
}

/// What threads of one sort may call.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// Of which threads, as a title.
    pub title: &'static str,
    /// The calls.
    pub calls: &'static [Call],
}

/// A request of an ioctl.
pub type Request = Named;

/// A constant of the kernel's with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name in the kernel's headers.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
}

/// A second descriptor of something, as second argument of fcntl.
pub(super) const F_DUPFD_CLOEXEC: Only = Only::Second(Named {
    name: "F_DUPFD_CLOEXEC",
    value: libc::F_DUPFD_CLOEXEC as u64,
});

/// With whatever arguments.
pub(super) const fn any(number: i64, why: &'static str) -> Call {
    only(number, Only::Anything, why)
}

/// With some arguments only.
pub(super) const fn only(number: i64, only: Only, why: &'static str) -> Call {
    Call { number, only, why }
}

/// An ioctl with one request only.
pub(super) const fn ioctl(name: &'static str, value: u64, why: &'static str) -> Call {
    let request = Named { name, value };
    only(libc::SYS_ioctl, Only::Request(request), why)
}

/// mmap's and mprotect's third argument: what may be done with the memory.
const PROTECTION: u8 = 2;
/// Where a request of an ioctl has its type (asm-generic/ioctl.h), and KVM's (linux/kvm.h).
const TYPE_OF_REQUEST: u32 = 0xff00;
const KVMIO: u32 = 0xae;
/// mmap's fourth: what kind of memory.
const FLAGS: u8 = 3;

impl Call {
    /// Its name.
    pub fn name(&self) -> &'static str {
        call_names::name(self.number).unwrap_or("?")
    }

    /// What it fails with where nothing is to end.
    pub(super) fn refusal(&self) -> Option<libc::c_int> {
        match self.only {
            Only::Refused => Some(libc::EPERM),
            Only::Unknown => Some(libc::ENOSYS),
            _ => None,
        }
    }
}

/// What has to hold of one argument, which the kernel takes as 32 bits: `argument & mask == value`.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) mask: u32,
    pub(super) value: u32,
}

impl Only {
    /// All that has to hold in the process `pid`; nothing for those that have no condition.
    pub(super) fn conditions(self, pid: u32) -> Vec<Condition> {
        match self {
            Self::Anything | Self::Refused | Self::Unknown => Vec::new(),
            Self::Kvm => vec![Condition {
                argument: 1,
                mask: TYPE_OF_REQUEST,
                value: KVMIO << 8,
            }],
            Self::Request(is) | Self::Second(is) => vec![equal(1, is.value)],
            Self::First(is) => vec![equal(0, is.value)],
            Self::ThisProcess => vec![equal(0, pid.into())],
            Self::PlainMemory => vec![
                without(PROTECTION, libc::PROT_EXEC),
                with(FLAGS, libc::MAP_ANONYMOUS),
            ],
            Self::NeverExecuted => vec![without(PROTECTION, libc::PROT_EXEC)],
            Self::Thread => vec![with(0, libc::CLONE_THREAD)],
        }
    }
}

const fn equal(argument: u8, value: u64) -> Condition {
    Condition {
        argument,
        mask: u32::MAX,
        #[expect(clippy::cast_possible_truncation, reason = "as the kernel does it")]
        value: value as u32,
    }
}

const fn with(argument: u8, bit: libc::c_int) -> Condition {
    Condition {
        argument,
        mask: bit.cast_unsigned(),
        value: bit.cast_unsigned(),
    }
}

const fn without(argument: u8, bit: libc::c_int) -> Condition {
    Condition {
        argument,
        mask: bit.cast_unsigned(),
        value: 0,
    }
}
