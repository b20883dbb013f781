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
/// What is to happen at a signal.
macro_rules! signal {
    ($signal:ident, $why:literal) => {
        crate::sandbox::call::only(
            libc::SYS_rt_sigaction,
            crate::sandbox::call::Only::First(crate::sandbox::call::Named {
                name: stringify!($signal),
                value: libc::$signal as u64,
            }),
            $why,
        )
    };
}
/// What a thread asks of itself.
macro_rules! prctl {
    ($option:ident, $why:literal) => {
        crate::sandbox::call::only(
            libc::SYS_prctl,
            crate::sandbox::call::Only::First(crate::sandbox::call::Named {
                name: stringify!($option),
                value: libc::$option as u64,
            }),
            $why,
        )
    };
}
use {kvm, prctl, signal, terminal};
