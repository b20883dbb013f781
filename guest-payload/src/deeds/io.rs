//! Ports, strings of them, and memory that is not RAM.

use core::arch::asm;
use core::sync::atomic::Ordering::SeqCst;

use guest_payload::abi::xen::PORT_XEN_HYPERCALL;
use guest_payload::abi::{PORT_CONTROL, PORT_HALT};

use super::Turn;
use super::area::SCRATCH_BYTES;

/// Ports that PCs and our own ABI have something at.
const PORTS: [u16; 64] = [
    0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x00, 0x0f,
    0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0x2f8, 0x2f9, 0x2fa, 0x2fb, 0x2fc, 0x2fd,
    0x2fe, 0x2ff, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x4d0, 0x4d1, 0x510,
    0x511, 0x514, 0xcf8, 0xcfb, 0xcfc, 0xcfd, 0xcfe, 0xcff, 0x1ce, 0x1cf, 0x3b0, 0x3c0, 0x3d4,
    0x3d5, 0x3f6, 0x1f0, 0x1f7, 0x170, 0x388, 0xffff, 0xfffc,
];

/// Where writing ends or resets machines, here or under other VMMs: the keyboard controller's and the
/// chipset's resets, debug exits, the panic device, ACPI's power management.
const ENDS: [u16; 13] = [
    0x64, 0x60, 0x92, 0xcf9, 0xf4, 0x501, 0x505, 0x600, 0x604, 0x605, 0xb004, 0xb005, 0x4004,
];

/// Where writing may halt: our own ports.
const HALTS: [u16; 2] = [PORT_HALT as u16, PORT_XEN_HYPERCALL as u16];

/// Commands to the keyboard controller that neither reset nor prepare to.
const KEYBOARD_COMMANDS: [u32; 6] = [0x20, 0xa9, 0xaa, 0xab, 0xd0, 0xd4];

impl Turn {
    fn port(&mut self) -> u16 {
        if self.draws.one_in(4) {
            self.draws.next_u32() as u16
        } else {
            self.draws.pick(&PORTS)
        }
    }

    /// Whether writing `value` to `port` is a deed of its own: an end, or a halt of the boot CPU.
    fn must_not_write(&self, port: u16, value: u32) -> bool {
        const PORT_CONTROL_16: u16 = PORT_CONTROL as u16;
        match port {
            PORT_CONTROL_16 => value & 0xff < 3,
            _ if ENDS.contains(&port) => true,
            _ => self.is_boot_cpu() && HALTS.contains(&port),
        }
    }

    /// Who ends the run does not wait for a CPU that a write to `port` may halt.
    fn may_halt_at(&self, port: u16) {
        if HALTS.contains(&port) {
            self.own.is_busy.store(0, SeqCst);
        }
    }
}

/// One access of one width.
pub(super) fn ports(turn: &mut Turn) {
    let (mut port, mut value) = (turn.port(), turn.draws.value() as u32);
    if turn.draws.one_in(16) {
        (port, value) = (0x64, turn.draws.pick(&KEYBOARD_COMMANDS));
    } else if turn.must_not_write(port, value) {
        port = 0x80;
    }
    let access = turn.draws.below(6);
    turn.may_halt_at(port);
    // SAFETY: devices are the host's; no memory of ours is theirs.
    unsafe {
        match access {
            0 => asm!("out dx, al", in("dx") port, in("eax") value, options(nostack)),
            1 => asm!("out dx, ax", in("dx") port, in("eax") value, options(nostack)),
            2 => asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack)),
            3 => asm!("in al, dx", in("dx") port, out("eax") _, options(nostack)),
            4 => asm!("in ax, dx", in("dx") port, out("eax") _, options(nostack)),
            _ => asm!("in eax, dx", in("dx") port, out("eax") _, options(nostack)),
        }
    }
}

/// A string of accesses, forwards or backwards, in scratch memory or where there is none.
pub(super) fn strings(turn: &mut Turn) {
    let mut port = turn.port();
    // What is written there depends on memory.
    if turn.must_not_write(port, 0) {
        port = 0x80;
    }
    let most = if turn.draws.one_in(8) { 2000 } else { 40 };
    let count = u64::from(turn.draws.below(most));
    turn.may_halt_at(port);
    let goes_back = turn.draws.one_in(4);
    let middle = turn.own.scratch() + SCRATCH_BYTES as u64 / 2;
    let at = if turn.draws.one_in(8) {
        turn.hole() & !0xfff
    } else {
        // 2000 dwords either way stay inside.
        middle
    };
    if goes_back {
        // SAFETY: the string below goes down; what interrupts it, and its end, go up again.
        unsafe { asm!("std", options(nostack)) };
    }
    // SAFETY: at most 8000 bytes on either side of the middle of this CPU's scratch memory, or no RAM.
    unsafe {
        match turn.draws.below(6) {
            0 => {
                asm!("rep outsb", in("dx") port, inout("rsi") at => _, inout("rcx") count => _, options(nostack))
            }
            1 => {
                asm!("rep outsw", in("dx") port, inout("rsi") at => _, inout("rcx") count => _, options(nostack))
            }
            2 => {
                asm!("rep outsd", in("dx") port, inout("rsi") at => _, inout("rcx") count => _, options(nostack))
            }
            3 => {
                asm!("rep insb", in("dx") port, inout("rdi") at => _, inout("rcx") count => _, options(nostack))
            }
            4 => {
                asm!("rep insw", in("dx") port, inout("rdi") at => _, inout("rcx") count => _, options(nostack))
            }
            _ => {
                asm!("rep insd", in("dx") port, inout("rdi") at => _, inout("rcx") count => _, options(nostack))
            }
        }
        asm!("cld", options(nostack));
    }
}

/// Some accesses to memory that is not RAM.
pub(super) fn mmio(turn: &mut Turn) {
    const IOAPIC: u64 = 0xfec0_0000;
    const LOCAL_APIC: u64 = 0xfee0_0000;
    for _ in 0..=turn.draws.below(4) {
        let at = match turn.draws.below(4) {
            0 => IOAPIC + u64::from(turn.draws.below(0x50)),
            1 => LOCAL_APIC + u64::from(turn.draws.below(0x1000)),
            _ => turn.hole(),
        };
        let mut value = turn.draws.value();
        if (IOAPIC..IOAPIC + 0x1000).contains(&at) {
            // The redirections' delivery mode stays fixed: INIT to the boot CPU by a device is no less
            // INIT.
            value &= !0x0000_0700_0000_0700;
        }
        // An interrupt command has a deed of its own.
        let is_command = (LOCAL_APIC + 0x2f9..LOCAL_APIC + 0x320).contains(&at);
        access(turn, at, value, is_command);
    }
}

/// One read, or one write unless `reads_only`.
pub(super) fn access(turn: &mut Turn, at: u64, value: u64, reads_only: bool) {
    let kind = turn.draws.below(if reads_only { 5 } else { 12 });
    let scratch = turn.own.scratch();
    // SAFETY: callers name addresses without RAM, or RAM that anything may be written to; scratch memory is
    // this CPU's.
    unsafe {
        match kind {
            0 => asm!("mov {0:l}, [{1}]", out(reg_abcd) _, in(reg) at, options(nostack)),
            1 => asm!("mov {0:x}, [{1}]", out(reg) _, in(reg) at, options(nostack)),
            2 => asm!("mov {0:e}, [{1}]", out(reg) _, in(reg) at, options(nostack)),
            3 => asm!("mov {0}, [{1}]", out(reg) _, in(reg) at, options(nostack)),
            4 => {
                asm!("rep movsb", inout("rsi") at => _, inout("rdi") scratch => _, inout("rcx") 24_u64 => _, options(nostack));
            }
            5 => asm!("mov [{1}], {0:l}", in(reg_abcd) value, in(reg) at, options(nostack)),
            6 => asm!("mov [{1}], {0:x}", in(reg) value, in(reg) at, options(nostack)),
            7 => asm!("mov [{1}], {0:e}", in(reg) value, in(reg) at, options(nostack)),
            8 => asm!("mov [{1}], {0}", in(reg) value, in(reg) at, options(nostack)),
            9 => asm!("xchg [{1}], {0:e}", inout(reg) value => _, in(reg) at, options(nostack)),
            10 => asm!("lock add [{1}], {0:e}", in(reg) value, in(reg) at, options(nostack)),
            _ => {
                asm!("rep movsd", inout("rsi") scratch => _, inout("rdi") at => _, inout("rcx") 5_u64 => _, options(nostack));
            }
        }
    }
}
