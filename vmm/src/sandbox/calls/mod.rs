//! The lists: what every thread may call, and what a role may beyond that.

pub(super) mod api;
pub(super) mod debugger;
pub(super) mod every;
pub(super) mod first;
pub(super) mod machine;
pub(super) mod main_loop;
pub(super) mod migration;
pub(super) mod snapshot;
pub(super) mod threads;
pub(super) mod vcpu;

/// An ioctl of KVM's by its name in `linux/kvm.h`, and the reason.
macro_rules! kvm {
    ($request:ident, $why:literal) => {
        crate::sandbox::call::ioctl(stringify!($request), crate::kvm::confined::$request, $why)
    };
}
/// An ioctl of a terminal's.
macro_rules! terminal {
    ($request:ident, $why:literal) => {
        crate::sandbox::call::ioctl(stringify!($request), libc::$request, $why)
    };
}
/// A call with a constant of the kernel's as first argument.
macro_rules! with_first {
    ($call:ident, $constant:ident, $why:literal) => {
        crate::sandbox::call::only(
            libc::$call,
            crate::sandbox::call::Only::First(crate::sandbox::call::Named {
                name: stringify!($constant),
                value: libc::$constant as u64,
            }),
            $why,
        )
    };
}
/// What is to happen at a signal.
macro_rules! signal {
    ($signal:ident, $why:literal) => {
        crate::sandbox::calls::with_first!(SYS_rt_sigaction, $signal, $why)
    };
}
/// What a thread asks of itself.
macro_rules! prctl {
    ($option:ident, $why:literal) => {
        crate::sandbox::calls::with_first!(SYS_prctl, $option, $why)
    };
}
use {kvm, prctl, signal, terminal, with_first};
