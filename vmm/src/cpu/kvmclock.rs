//! The VM's kvmclock, read beside the host's TSC and real time.

use std::io;

use kvm_ioctls::{VcpuFd, VmFd};

use super::clock::ClockSample;
use crate::kvm::tsc::host_tsc;

/// Which end of a save and a restore a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where the machine was paused.
    Source,
    /// Where it goes on.
    Target,
}

/// Samples the clock. KVM reads kvmclock, real time and the host's TSC at one instant where it
/// can (`KVM_CLOCK_HOST_TSC`); where it cannot, the TSC is read beside it, on that side which errs
/// towards a guest TSC that jumps ahead by a microsecond and never back.
///
/// # Errors
/// What `KVM_GET_CLOCK` says.
pub fn sample(vm: &VmFd, end: End) -> Result<ClockSample, kvm_ioctls::Error> {
    let before = host_tsc();
    let mut sample = ClockSample::from(&vm.get_clock()?);
    sample.host_tsc.get_or_insert_with(|| match end {
        End::Source => host_tsc(),
        End::Target => before,
    });
    Ok(sample)
}

/// Whether a vCPU's guest could be told that it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Its watchdogs will know.
    Stopped,
    /// It has no kvmclock page on this vCPU.
    NoKvmclock,
}

/// Tells the guest that its vCPU was stopped (`KVM_KVMCLOCK_CTRL`), so that its soft-lockup
/// watchdog does not count the time. For every vCPU, before it goes on.
///
/// # Errors
/// What the ioctl says, except that the guest has no kvmclock page.
pub fn tell_stopped(vcpu: &VcpuFd) -> io::Result<Told> {
    match vcpu.kvmclock_ctrl() {
        Ok(()) => Ok(Told::Stopped),
        // Documentation/virt/kvm/api.rst, 4.73: the guest has not set the MSR.
        Err(e) if e.errno() == libc::EINVAL => Ok(Told::NoKvmclock),
        Err(e) => Err(io::Error::from_raw_os_error(e.errno())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::clock::{ClockPolicy, clock_to_set};
    use crate::host::code::{Op, assemble};
    use crate::host::open_kvm;
    use crate::host::tiny_vm::{DATA, Exit, Lapic, Ring, TinyVcpu, TinyVm};

    const HOUR_NS: u64 = 3_600_000_000_000;

    fn vm() -> (TinyVm, TinyVcpu) {
        let kvm = open_kvm().unwrap();
        let code = assemble(&[Op::Out(7)]);
        let vm = TinyVm::new(&kvm, Lapic::InKernel, &code).unwrap();
        let cpuid = kvm.get_supported_cpuid(256).unwrap();
        let vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&cpuid)).unwrap();
        (vm, vcpu)
    }

    #[test]
    fn kvmclock_counts_the_time_away_only_where_it_is_asked_to() {
        let (source, mut vcpu) = vm();
        assert_eq!(vcpu.enter().unwrap(), Some(Exit::out(7)));
        let mut saved = sample(source.fd(), End::Source).unwrap();
        let Some(now) = saved.realtime_ns else {
            println!("skipped: this KVM does not tell real time");
            return;
        };
        // As if it had been saved an hour ago.
        saved.realtime_ns = Some(now - HOUR_NS);
        for (policy, at_least) in [(ClockPolicy::Continue, 0), (ClockPolicy::Realtime, HOUR_NS)] {
            let (target, mut vcpu) = vm();
            target
                .fd()
                .set_clock(&clock_to_set(&saved, policy))
                .unwrap();
            for _ in 0..2 {
                let here = sample(target.fd(), End::Target).unwrap();
                let gone = here.clock_ns - saved.clock_ns;
                assert!(
                    gone >= at_least && gone < at_least + HOUR_NS / 2,
                    "{policy:?} {gone}"
                );
                assert!(here.host_tsc >= saved.host_tsc);
                // Nor does running change it.
                vcpu.enter().unwrap();
            }
        }
    }

    #[test]
    fn a_sample_has_a_tsc_even_where_kvm_does_not_tell_it() {
        let (vm, _vcpu) = vm();
        // Before the first KVM_RUN kvmclock may not be tied to the TSC yet.
        let before = host_tsc();
        for end in [End::Source, End::Target] {
            let tsc = sample(vm.fd(), end).unwrap().host_tsc.unwrap();
            assert!(before <= tsc && tsc <= host_tsc());
        }
    }

    #[test]
    fn a_guest_is_told_once_it_has_a_kvmclock_page() {
        const SYSTEM_TIME: u32 = 0x4b56_4d01;
        let (_vm, mut vcpu) = vm();
        assert_eq!(tell_stopped(vcpu.fd()).unwrap(), Told::NoKvmclock);
        let page = kvm_bindings::kvm_msr_entry {
            index: SYSTEM_TIME,
            data: u64::from(DATA) | 1,
            ..Default::default()
        };
        let msrs = kvm_bindings::Msrs::from_entries(&[page]).unwrap();
        assert_eq!(vcpu.fd().set_msrs(&msrs).unwrap(), 1);
        assert_eq!(tell_stopped(vcpu.fd()).unwrap(), Told::Stopped);
    }
}
