//! The bootable payload: a PVH guest that stress-tests a lock on all its CPUs and checks itself.
#![no_std]
#![no_main]
#![allow(clippy::cast_possible_truncation)] // 64-bit only; registers are narrowed on purpose

mod arch;
mod boot_cell;
mod cases;
mod critical_section;
mod deeds;
mod fill;
mod finish;
mod handshake_memory;
mod latency;
mod mortal;
mod objects;
mod platform;
mod prepare;
mod queue_memory;
mod random;
mod setup;
mod shared;
mod trace_memory;
mod witness;
mod workload;

use guest_payload::args::{Clocks, Mode};
use guest_payload::pv::Backend;

use arch::serial::print;
use arch::{clock, idt, pvh, smp, xen};
use shared::{crash, read_stubs};

unsafe extern "C" {
    static __image_end: u8;
}

/// The boot CPU, at CPL 0 in 64-bit mode, on the boot stack.
#[unsafe(no_mangle)]
extern "C" fn bsp_main(start_info: u32) -> ! {
    idt::build();
    idt::load();
    read_stubs();
    let Some(info) = pvh::StartInfo::at(start_info) else {
        print("guest-payload: no PVH start info\n");
        crash()
    };
    let image_end = (&raw const __image_end) as u64;
    let mut memory = smp::Memory {
        next: image_end,
        end: info.ram_end(image_end),
    };
    match prepare::prepare(info, &mut memory) {
        Ok(()) => {}
        Err(what) => give_up(what),
    }
    start_cpu(0);
    if setup::get().args.mode == Mode::Conformance {
        cases::run(info.rsdp())
    }
    if setup::get().args.mode == Mode::Havoc {
        deeds::run(info.rsdp())
    }
    fill::fill(&setup::get().args);
    smp::start_others(info.rsdp());
    workload::enter(0)
}

/// Ends the machine with a line that says why.
fn give_up(what: &str) -> ! {
    print("guest-payload: ");
    print(what);
    print("\n");
    crash()
}

/// Tables, local APIC and clock of this CPU.
fn start_cpu(index: u32) {
    smp::initialize(index);
    if setup::get().backend == Backend::Xen
        && let Err(what) = xen::bind(&smp::cpus()[index as usize])
    {
        give_up(what)
    }
    if setup::get().args.clocks == Clocks::On && clock::has_kvmclock() {
        clock::start_kvmclock(smp::kvmclock(index));
    }
}

/// An AP, at CPL 0 in 64-bit mode, on its own stack.
#[unsafe(no_mangle)]
extern "C" fn ap_main(index: u32) -> ! {
    start_cpu(index);
    if setup::get().args.mode == Mode::Conformance {
        cases::serve(index)
    }
    if setup::get().args.mode == Mode::Havoc {
        deeds::join(index)
    }
    workload::enter(index)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    shared::RESULTS
        .exception
        .vector
        .store(u64::MAX, core::sync::atomic::Ordering::Relaxed);
    print("guest-payload: panic\n");
    crash()
}
