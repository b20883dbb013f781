//! The host side of paravirtual spinlocks as a userspace KVM hypervisor, and a laboratory around it.
//!
//! Most people want the program, `vmm`. A program that wants to use its parts finds here:
//!
//! - [`run()`]: builds a machine as a [`spec`] asks, runs its guest to the end and gives the
//!   [`report`].
//! - [`pv`]: the heart, without any KVM: which vCPU has an APIC ID, what a kick answers, and the one
//!   bit, `pv_unhalted`, that a halted vCPU's kick must not be lost by.
//! - [`host`]: what this host's KVM can do, each found by trying.
//! - [`control`]: a client of a running `vmm`'s API.
//! - [`snapshot`] and [`inspect`]: machines in files.
//! - [`lab`]: experiments, the records they leave, and statistics of few, noisy runs.
//!
//! # A guest and its report
//!
//! ```no_run
//! use vmm::report::run::Outcome;
//! use vmm::spec::{Guest, RunSpec, Topology};
//!
//! // The payload inside this library, on 4 vCPUs; needs /dev/kvm.
//! let spec = RunSpec::new(Guest::Bundled, Topology::flat(4)?)
//!     .with_cmdline("lock=pv-ticket seconds=1");
//! let report = vmm::run(&spec)?;
//! assert_eq!(report.outcome, Outcome::Completed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Kicks in another VMM
//!
//! The decision about a hypercall is a function of its registers, and a kick is a service over
//! whatever can unhalt a vCPU:
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//!
//! use vmm::pv::apic_id::{ApicIds, ApicMode, BroadcastQuirk, VcpuIndex};
//! use vmm::pv::hypercall::{Action, Call, CallerMode, Privilege, Unhalt, decide};
//! use vmm::pv::kick::{Delivery, KickService, Kicker, Unhalted, Waker};
//! use vmm::pv::recorder::Tracer;
//!
//! #[derive(Debug, Default)]
//! struct MyVcpus(Arc<AtomicU32>);
//!
//! impl Waker for MyVcpus {
//!     fn unhalt(&self, vcpu: VcpuIndex, _apic_id: u32) -> Unhalted {
//!         self.0.store(vcpu.0, Relaxed); // Wake its thread here.
//!         Unhalted::WasHalted
//!     }
//!
//!     fn apic_mode(&self, _vcpu: VcpuIndex) -> ApicMode {
//!         ApicMode::X2Apic
//!     }
//! }
//!
//! let (woken, apic_ids) = (Arc::new(AtomicU32::new(0)), vec![0, 1, 4, 5]);
//! let ids = ApicIds::new(apic_ids.clone(), BroadcastQuirk::Enabled)?;
//! let waker = Box::new(MyVcpus(Arc::clone(&woken)));
//! let kicks = KickService::new(apic_ids, ids, waker, None, Tracer::off());
//!
//! // RAX, RBX and RCX of a guest's `vmcall`: KVM_HC_KICK_CPU for APIC ID 4.
//! let call = Call { number: 5, a0: 0, a1: 4 };
//! let action = decide(call, CallerMode::Bits64, Privilege::Allowed, Unhalt::Offered);
//! let Action::Kick(destination) = action else { panic!("no kick") };
//! let from = Kicker::Vcpu(VcpuIndex(0));
//! assert_eq!(kicks.kick(from, destination), Delivery::Delivered(1));
//! assert_eq!(woken.load(Relaxed), 2, "APIC ID 4 is vCPU 2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is in a snapshot
//!
//! ```no_run
//! use vmm::inspect::SnapshotView;
//! use vmm::snapshot::CheckedSnapshot;
//!
//! let snapshot = CheckedSnapshot::open("machine.snapshot".as_ref())?;
//! let view = SnapshotView::of(&snapshot);
//! println!("{} hidden kicks\n{}", view.hidden_kicks, view.table());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Stability
//!
//! Versions before 1.0 may change any of it. The other modules are public for this repository's own
//! binary, tests, benchmark and fuzz targets, are not documented here, and may change or go in any
//! version.

#![deny(unsafe_code)]

pub mod control;
pub mod host;
pub mod inspect;
pub mod lab;
pub mod pv;
pub mod report;
mod run;
pub mod snapshot;
pub mod spec;

pub use run::{BuildError, EventLoopError, RunError, run};

// For this repository's own binary, tests, benchmark and fuzz targets.
#[doc(hidden)]
pub mod boot;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod conformance;
#[doc(hidden)]
pub mod cpu;
#[doc(hidden)]
pub mod debugger;
#[doc(hidden)]
pub mod device;
#[doc(hidden)]
#[expect(
    unsafe_code,
    reason = "ioctls that kvm-ioctls does not have, and what KVM shares"
)]
pub mod kvm;
#[doc(hidden)]
pub mod machine;
#[doc(hidden)]
#[expect(unsafe_code, reason = "mappings")]
pub mod memory;
#[doc(hidden)]
pub mod migrate;
#[doc(hidden)]
#[expect(
    unsafe_code,
    reason = "system calls that no library wraps; signal handlers"
)]
pub mod os;
#[doc(hidden)]
pub mod ple;
#[doc(hidden)]
pub mod sandbox;
#[doc(hidden)]
pub mod sched;
#[doc(hidden)]
pub mod soak;
#[doc(hidden)]
pub mod trace;
#[doc(hidden)]
pub mod vcpu;

mod error_chain;
mod median;
mod random;
mod sync;
mod text;
